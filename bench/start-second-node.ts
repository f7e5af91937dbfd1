// Starts the second node and speaks to it.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { SecondNodeNews } from './second-node.ts';

export interface SecondNode {
  /** Resolves with the moment at which it was asked for, in nanoseconds of `process.hrtime`, once the run is durable. */
  enqueue(): Promise<bigint>;
  stop(): Promise<void>;
}

export async function startSecondNode(url: string): Promise<SecondNode> {
  const child = fork(fileURLToPath(new URL('./second-node.ts', import.meta.url)), [url]);
  const gone = once(child, 'exit').then(([code]) => {
    throw new Error(`the second node ended with exit code ${code}`);
  });
  gone.catch(() => {});
  const news = async () => ((await Promise.race([once(child, 'message'), gone])) as [SecondNodeNews])[0];
  await news();
  return {
    async enqueue() {
      const told = news();
      child.send('enqueue');
      const answer = await told;
      if (!('askedAtNs' in answer)) throw new Error('the second node said it was ready twice');
      return BigInt(answer.askedAtNs);
    },
    async stop() {
      const exit = once(child, 'exit');
      child.send('stop');
      await exit;
    },
  };
}
