// The clock of a run's timeout: it stands still while the run is paused or waits for people, and goes on where it stopped.

/** What `attempt_started_at` of a row of `cronwright.queue` becomes when its clock goes on; `now` is an SQL expression. */
export function clockGoesOn(now: string): string {
  return `attempt_started_at + coalesce(${now} - clock_stopped_at, interval '0 seconds')`;
}
