// What a node makes of hints: whom it tells, what it ignores, and what it does when it cannot hear.
import { describe, expect, it } from 'vitest';
import type { HintKind } from '../../../src/app/hint-sender.ts';
import { createNodeHints } from '../../../src/app/node-hints.ts';
import { systemClock } from '../../../src/base/clock.ts';
import type { HintListener } from '../../../src/db/database.ts';
import { createEventBus, type EventName } from '../../../src/observe/events.ts';

function create(options: { isWithout?: boolean; fails?: boolean } = {}) {
  const sent: string[] = [];
  const woken: HintKind[] = [];
  const heard: EventName[] = [];
  let listener: HintListener | undefined;
  const events = createEventBus();
  for (const name of ['hints.listening', 'hints.lost', 'hints.unsent'] as const) {
    events.on(name, () => heard.push(name));
  }
  const wake = (kind: HintKind) => () => void woken.push(kind);
  const hints = createNodeHints({
    line: options.isWithout
      ? undefined
      : {
          async send(payload) {
            sent.push(payload);
            if (options.fails) throw new Error('no connection');
          },
          listen(one) {
            listener = one;
            return { close: async () => {} };
          },
        },
    node: 'me',
    clock: systemClock,
    events,
    wake: {
      work: wake('work'),
      schedules: wake('schedules'),
      requests: wake('requests'),
      history: wake('history'),
      config: wake('config'),
    },
  });
  hints.start();
  return { hints, sent, woken, heard, line: () => listener as HintListener };
}

const notice = (told: object) => JSON.stringify({ from: 'other', kinds: [], ...told });

describe('hints of a node', () => {
  it('wake what they name, and nothing for those this node sent itself', () => {
    const { line, woken } = create();
    line().onHint(notice({ kinds: ['work', 'history'] }));
    line().onHint(notice({ from: 'me', kinds: ['config'] }));
    expect(woken).toEqual(['work', 'history']);
  });

  it('ask only the nodes they name', () => {
    const { line, woken } = create();
    line().onHint(notice({ kinds: ['requests'], asked: ['somebody'] }));
    expect(woken).toEqual([]);
    line().onHint(notice({ kinds: ['requests'], asked: ['somebody', 'me'] }));
    line().onHint(notice({ kinds: ['requests'] }));
    expect(woken).toEqual(['requests', 'requests']);
  });

  it.each([
    '',
    'work',
    '{',
    '[]',
    '{"from":1,"kinds":["work"]}',
    '{"from":"x","kinds":["unheard-of"]}',
  ])('that are none do nothing: %s', (payload) => {
    const { line, woken } = create();
    line().onHint(payload);
    expect(woken).toEqual([]);
  });

  it('are not sent by a node that is alone, until another one says that it is there', async () => {
    const { hints, sent, line } = create();
    hints.setPeers(0);
    hints.tell('work');
    await Promise.resolve();
    expect(sent).toEqual([]);
    line().onHint(notice({ kinds: [] }));
    hints.tell('work');
    await Promise.resolve();
    expect(sent.map((one) => JSON.parse(one))).toEqual([{ from: 'me', kinds: ['work'] }]);
  });

  it('are sent while nobody knows who else there is', async () => {
    const { hints, sent } = create();
    hints.tell('work');
    await Promise.resolve();
    expect(sent).toHaveLength(1);
  });

  it('wake everything once this node hears again, and are told to be lost once', () => {
    const { line, woken, heard, hints } = create();
    line().onUp();
    expect(woken).toEqual(['work', 'schedules', 'requests', 'history', 'config']);
    expect(hints.isListening()).toBe(true);
    line().onDown('gone');
    expect(hints.isListening()).toBe(false);
    line().onDown('still gone');
    line().onUp();
    expect(heard).toEqual(['hints.listening', 'hints.lost', 'hints.listening']);
  });

  it('that cannot be sent trouble nobody', async () => {
    const { hints, heard, line } = create({ fails: true });
    line().onUp();
    hints.tell('work');
    await new Promise((resolve) => setImmediate(resolve));
    expect(heard).toContain('hints.unsent');
  });

  it('are nothing on a database without them', async () => {
    const { hints, sent, heard } = create({ isWithout: true });
    hints.tell('work');
    await hints.stop();
    expect(hints.isListening()).toBe(false);
    expect([sent, heard]).toEqual([[], []]);
  });
});
