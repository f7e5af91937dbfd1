// What names a call to a thread: the same for the same call of any attempt, whatever the attempt says elsewhere.
import { expect, it } from 'vitest';
import type { Attempt, AttemptServices } from '../../../src/steps/attempt-services.ts';
import { SecretMask } from '../../../src/steps/secret-mask.ts';
import { AttemptContext } from '../../../src/steps/step-context.ts';

async function keysOf(threads: readonly string[]): Promise<string[]> {
  const said: string[] = [];
  const services = {
    async appendConversation(_attempt: Attempt, _messages: unknown, { thread, key }: { thread: string; key: string }) {
      said.push(`${thread} ${key}`);
    },
  } as unknown as AttemptServices;
  const attempt = { idempotencyKey: 'run/ask', signal: new AbortController().signal } as Attempt;
  const ctx = new AttemptContext(attempt, services, new SecretMask([]));
  for (const thread of threads) await ctx.conversation.append([{ role: 'user', content: 'x' }], thread);
  return said.sort();
}

it('counts the words of an attempt thread by thread', async () => {
  expect(await keysOf(['one', 'two', 'one'])).toEqual(['one run/ask/1', 'one run/ask/2', 'two run/ask/1']);
  expect(await keysOf(['two', 'one', 'one'])).toEqual(await keysOf(['one', 'one', 'two']));
});
