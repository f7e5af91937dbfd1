// The notifications that a failed run causes: one at once, and one that sums up what else fails within the same minute.
import { derivedId } from '../base/derived-id.ts';
import type { FailedRun } from './expressions/notification-scope.ts';

/** One of `on_failure` in the settings. */
export interface Notification {
  readonly uses: string;
  readonly with: Readonly<Record<string, unknown>>;
}

/** A call for the outbox. Notices of one id are one call. */
export interface FailureNotice {
  readonly id: string;
  readonly runId: string;
  readonly tenant: string;
  readonly pipeline: string;
  readonly stepType: string;
  /** JSON of a StoredNotification. */
  readonly input: string;
  /** True for the call that counts the runs of its minute, and is not made where there is one only. */
  readonly isSum: boolean;
  readonly createdAt: Date;
  readonly dueAt: Date;
}

/** What the outbox keeps of a notification: evaluated when it is sent. */
export interface StoredNotification {
  readonly with: Readonly<Record<string, unknown>>;
  readonly run: FailedRun;
}

const windowMs = 60_000;
/** What another node writes down late still counts. */
const slackMs = 5_000;

/**
 * A pipeline whose runs fail by the thousand sends two notifications a minute. The ids follow from pipeline and minute, so
 * that nobody has to be asked whether one was sent already.
 */
export function failureNotices(notifications: readonly Notification[], run: FailedRun): FailureNotice[] {
  const at = Date.parse(run.finished_at);
  const window = Math.floor(at / windowMs);
  return notifications.flatMap((notification) => {
    const { uses, with: given } = notification;
    const key = JSON.stringify([uses, given, run.tenant, run.pipeline, window]);
    const stored: StoredNotification = { with: given, run };
    const notice = {
      runId: run.id,
      tenant: run.tenant,
      pipeline: run.pipeline,
      stepType: uses,
      input: JSON.stringify(stored),
      createdAt: new Date(at),
    };
    return [
      { ...notice, id: derivedId(`first ${key}`), isSum: false, dueAt: new Date(at) },
      { ...notice, id: derivedId(`sum ${key}`), isSum: true, dueAt: new Date((window + 1) * windowMs + slackMs) },
    ];
  });
}
