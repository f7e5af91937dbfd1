// What the settings' `on_failure` makes of a failed run: calls for the outbox.
import type { FailedRun } from '../domain/expressions/notification-scope.ts';
import { type FailureNotice, failureNotices, type Notification } from '../domain/failure-notice.ts';
import type { Json } from '../steps/api.ts';
import { mapStrings, storableText } from '../steps/storable-text.ts';

export type NoticesOf = (run: Omit<FailedRun, 'url' | 'more_failed'>) => readonly FailureNotice[];

/** Nothing comes of a text that the database refuses but a run that cannot end, so none is let in. */
export function createNoticesOf(configured: readonly Notification[], apiUrl: () => string | undefined): NoticesOf {
  const notifications = configured.map(({ uses, with: given }) => ({
    uses,
    with: mapStrings(given as Json, storableText) as Notification['with'],
  }));
  return (run) => {
    if (notifications.length === 0) return [];
    const base = apiUrl();
    return failureNotices(notifications, {
      ...run,
      url: base === undefined ? '' : `${base}/runs/${run.id}`,
      more_failed: 0,
    });
  };
}
