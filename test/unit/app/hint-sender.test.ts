// When hints go out: the first at once, then few, and nothing is left behind.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createHintSender, type Hints } from '../../../src/app/hint-sender.ts';

describe('the sender of hints', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }));
  afterEach(() => void vi.useRealTimers());

  function create(send?: () => Promise<void>) {
    const sent: (Hints & { at: number })[] = [];
    const clock = { now: () => 0, monotonic: () => performance.now() };
    const sender = createHintSender({
      clock,
      send: async (hints) => {
        sent.push({ ...hints, at: performance.now() });
        await send?.();
      },
    });
    const from = performance.now();
    return { sender, sent, at: () => sent.map((one) => one.at - from) };
  }

  it('sends the first of a kind at once, and one more for what came within the gap', async () => {
    const { sender, at } = create();
    for (let i = 0; i < 10_000; i += 1) sender.tell('work');
    await Promise.resolve();
    expect(at()).toEqual([0]);
    sender.tell('work');
    await vi.advanceTimersByTimeAsync(1_000);
    expect(at()).toEqual([0, 10]);
  });

  it('sends at most every 10 ms while busy, and every 50 ms of history', async () => {
    const { sender, sent } = create();
    for (let ms = 0; ms < 1_000; ms += 1) {
      sender.tell('work');
      sender.tell('history');
      await vi.advanceTimersByTimeAsync(1);
    }
    const of = (kind: string) => sent.filter((one) => one.kinds.includes(kind as never)).length;
    expect(of('work')).toBeGreaterThan(80);
    expect(of('work')).toBeLessThanOrEqual(101);
    expect(of('history')).toBeGreaterThan(15);
    expect(of('history')).toBeLessThanOrEqual(21);
  });

  it('sends what one turn of the event loop tells in one notice', async () => {
    const { sender, sent } = create();
    sender.tell('work');
    sender.tell('history');
    sender.tell('work');
    await vi.advanceTimersByTimeAsync(100);
    expect(sent.map((one) => one.kinds)).toEqual([['work', 'history']]);
  });

  it('is at once again after a pause', async () => {
    const { sender, at } = create();
    sender.tell('work');
    await vi.advanceTimersByTimeAsync(500);
    sender.tell('work');
    await Promise.resolve();
    expect(at()).toEqual([0, 500]);
  });

  it('has one notice under way at a time, and sends afterwards what came meanwhile', async () => {
    let answer = () => {};
    const { sender, sent } = create(
      () =>
        new Promise((resolve) => {
          answer = resolve;
        }),
    );
    sender.tell('work');
    await Promise.resolve();
    sender.tell('config');
    await vi.advanceTimersByTimeAsync(500);
    expect(sent).toHaveLength(1);
    answer();
    await vi.advanceTimersByTimeAsync(0);
    expect(sent.map((one) => one.kinds)).toEqual([['work'], ['config']]);
  });

  it('names the nodes that are asked, and asks everybody where one is not known', async () => {
    const { sender, sent } = create();
    sender.tell('requests', 'a');
    await Promise.resolve();
    sender.tell('requests', 'b');
    sender.tell('requests', 'c');
    await vi.advanceTimersByTimeAsync(100);
    sender.tell('requests', 'd');
    await Promise.resolve();
    sender.tell('requests', 'd');
    sender.tell('requests');
    await vi.advanceTimersByTimeAsync(100);
    expect(sent.map((one) => one.asked)).toEqual([['a'], ['b', 'c'], ['d'], undefined]);
  });

  it('sends at its stop what has not gone out, and nothing after it', async () => {
    const { sender, sent, at } = create();
    sender.tell('work');
    await Promise.resolve();
    sender.tell('work');
    sender.tell('history');
    await sender.stop();
    sender.tell('work');
    await vi.advanceTimersByTimeAsync(1_000);
    expect(at()).toEqual([0, 0]);
    expect(sent[1]?.kinds).toEqual(['work', 'history']);
  });
});
