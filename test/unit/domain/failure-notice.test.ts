// What a failed run puts into the outbox: ids that follow from pipeline and minute.
import { describe, expect, it } from 'vitest';
import type { FailedRun } from '../../../src/domain/expressions/notification-scope.ts';
import { failureNotices } from '../../../src/domain/failure-notice.ts';

const run = (overrides: Partial<FailedRun> = {}): FailedRun => ({
  id: '0190',
  pipeline: 'build',
  tenant: 'default',
  schedule: null,
  state: 'failed',
  error: { name: 'E', message: 'm', step: null },
  started_at: null,
  finished_at: '2026-03-01T12:00:20.500Z',
  url: '',
  more_failed: 0,
  ...overrides,
});
const mail = { uses: 'notify.email', with: { to: 'a' } };
const ids = (...of: Parameters<typeof failureNotices>) => failureNotices(...of).map(({ id }) => id);

describe('the notices of a failed run', () => {
  it('are one that is due at once and one at the end of its minute, for each notification', () => {
    const notices = failureNotices([mail, { uses: 'notify.webhook', with: {} }], run());
    expect(notices.map(({ stepType, isSum, dueAt }) => [stepType, isSum, dueAt.toISOString()])).toEqual([
      ['notify.email', false, '2026-03-01T12:00:20.500Z'],
      ['notify.email', true, '2026-03-01T12:01:05.000Z'],
      ['notify.webhook', false, '2026-03-01T12:00:20.500Z'],
      ['notify.webhook', true, '2026-03-01T12:01:05.000Z'],
    ]);
    expect(new Set(notices.map(({ id }) => id)).size).toBe(4);
    expect(failureNotices([], run())).toEqual([]);
  });

  it('are the same for all runs of a pipeline in one minute, and for no others', () => {
    const own = ids([mail], run());
    expect(ids([mail], run({ id: 'other', finished_at: '2026-03-01T12:00:59.999Z' }))).toEqual(own);
    for (const other of [
      run({ finished_at: '2026-03-01T12:01:00.000Z' }),
      run({ pipeline: 'test' }),
      run({ tenant: 'acme' }),
    ]) {
      expect(ids([mail], other).filter((id) => own.includes(id))).toEqual([]);
    }
    expect(ids([{ ...mail, with: { to: 'b' } }], run()).filter((id) => own.includes(id))).toEqual([]);
  });
});
