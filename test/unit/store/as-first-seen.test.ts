// A thread as an attempt sees it.
import { describe, expect, it } from 'vitest';
import { asFirstSeen } from '../../../src/store/conversations.ts';

const said = (owner: string, attempt: number, token = 1) => ({ owner, attempt, token });
const by = { idempotencyKey: 'me', attempt: 2, token: 1 };

describe('a thread', () => {
  it.each([
    ['is whole where the step has said nothing', [said('a', 1), said('b', 3)], 2],
    ['ends before the first word of an earlier attempt', [said('a', 1), said('me', 1), said('b', 1)], 1],
    ['ends before the word of an earlier claim', [said('me', 2, 0), said('a', 1)], 0],
    ['holds what this attempt has said', [said('a', 1), said('me', 2), said('b', 1)], 3],
    ['ends after what this attempt has said again, before what it has not yet', [said('me', 2), said('me', 1)], 1],
  ])('%s', (_, messages, seen) => {
    expect(asFirstSeen(messages, by)).toEqual(messages.slice(0, seen));
  });
});
