// Rounds of the live stream: who gets what in one write, who comes and goes in the middle, and who is too far behind.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../../src/base/clock.ts';
import type { EndReason, LiveConnection } from '../../../../src/http/live/live-connection.ts';
import { alertEvent } from '../../../../src/http/live/live-event.ts';
import { liveQuery, readFilter } from '../../../../src/http/live/live-filter.ts';
import { createLiveRounds } from '../../../../src/http/live/live-rounds.ts';
import { createOlderWords } from '../../../../src/http/live/older-words.ts';

function createRounds(maxBacklogBytes = 1_000) {
  const sent: number[] = [];
  const rounds = createLiveRounds({
    clock: systemClock,
    maxBacklogBytes,
    onRound: () => {},
    onSent: (count) => sent.push(count),
    inOlderWords: createOlderWords(),
  });
  const publish = (pipeline: string, name = 'alert.x') => {
    const event = alertEvent({ name, atMs: 0, node: 'n', tenant: 'default', pipeline });
    rounds.publish({ event, cursor: 'c', frames: {} });
  };
  return { rounds, publish, sent };
}

/** Keeps what it is given; `backlogBytes` is as the test says. */
function createConnection() {
  const writes: Buffer[] = [];
  const ends: EndReason[] = [];
  const connection = {
    transport: 'sse',
    encoding: 'sse',
    isOpen: true,
    backlogBytes: 0,
    write: (frames: Buffer) => void writes.push(frames),
    drained: async () => true,
    beat: () => {},
    end: (reason: EndReason) => void ends.push(reason),
    onClosed: () => {},
  } satisfies LiveConnection;
  const pipelines = () =>
    [
      ...Buffer.concat(writes)
        .toString()
        .matchAll(/"pipeline":"(\w+)"/g),
    ].map(([, name]) => name);
  return { connection, writes, ends, pipelines };
}

const filterOf = (query: Record<string, string> = {}) => readFilter(liveQuery.parse(query), 'default');

async function settled(): Promise<void> {
  for (let i = 0; i < 20; i += 1) await nextTurn();
  await new Promise((resolve) => setTimeout(resolve, 10));
}

describe('rounds', () => {
  it('send each client what fits, several events in one write, and the same bytes to all who asked for the same', async () => {
    const { rounds, publish, sent } = createRounds();
    const [all, same, one, none] = [createConnection(), createConnection(), createConnection(), createConnection()];
    rounds.join(all.connection, filterOf());
    rounds.join(same.connection, filterOf());
    rounds.join(one.connection, filterOf({ pipeline: 'b' }));
    rounds.join(none.connection, filterOf({ pipeline: 'z' }));
    for (const name of ['a', 'b', 'c']) publish(name);
    await settled();
    expect(all.pipelines()).toEqual(['a', 'b', 'c']);
    expect(all.writes).toHaveLength(1);
    expect(same.writes[0]).toBe(all.writes[0]);
    expect(one.pipelines()).toEqual(['b']);
    expect(none.writes).toEqual([]);
    expect(sent).toEqual([3]);
  });

  it('take up what happens while they go on, and send nothing twice', async () => {
    const { rounds, publish, sent } = createRounds();
    const clients = Array.from({ length: 600 }, () => createConnection());
    for (const { connection } of clients) rounds.join(connection, filterOf());
    publish('a');
    for (let i = 0; i < 3; i += 1) {
      await nextTurn();
      publish(`m${i}`);
    }
    await settled();
    publish('z');
    await settled();
    for (const { pipelines } of clients) expect(pipelines()).toEqual(['a', 'm0', 'm1', 'm2', 'z']);
    expect(sent.reduce((sum, count) => sum + count, 0)).toBe(5);
  });

  it('begin for a client with what is published after it came, and end when it goes', async () => {
    const { rounds, publish } = createRounds();
    const [early, late] = [createConnection(), createConnection()];
    rounds.join(early.connection, filterOf());
    publish('a');
    rounds.join(late.connection, filterOf());
    publish('b');
    await settled();
    rounds.leave(early.connection);
    publish('c');
    await settled();
    expect(early.pipelines()).toEqual(['a', 'b']);
    expect(late.pipelines()).toEqual(['b', 'c']);
  });

  it('go by the last filter of a client that asks for something else', async () => {
    const { rounds, publish } = createRounds();
    const client = createConnection();
    rounds.join(client.connection, filterOf());
    publish('a');
    rounds.leave(client.connection);
    rounds.join(client.connection, filterOf({ pipeline: 'b' }));
    publish('a');
    publish('b');
    await settled();
    expect(client.pipelines()).toEqual(['b']);
  });

  it('end a client that is too far behind, and go on with the others', async () => {
    const { rounds, publish } = createRounds(1_000);
    const [slow, good] = [createConnection(), createConnection()];
    slow.connection.backlogBytes = 1_001;
    good.connection.backlogBytes = 1_000;
    for (const { connection } of [slow, good]) rounds.join(connection, filterOf());
    publish('a');
    await settled();
    expect(slow.ends).toEqual(['too_slow']);
    expect(slow.writes).toEqual([]);
    expect(good.pipelines()).toEqual(['a']);
  });
});
