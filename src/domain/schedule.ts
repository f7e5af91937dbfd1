// What a schedule is: the shape every floor above computes with, all defaults already applied.
import type { Sla } from './sla.ts';

/** What happens when a run of the same schedule is still live at a fire time. */
export type OverlapPolicy = 'skip' | 'queue' | 'queue_all' | 'cancel_previous' | 'allow';

/** What happens to fire times that passed while nothing could fire them. */
export type CatchupPolicy = 'none' | 'last' | 'all';

/**
 * How wall-clock times meet a change of the zone's offset. An absent field follows the schedule's kind: fixed-time
 * schedules run once (`next`, `first`), intervals follow the clock (`skip`, `both`).
 */
export interface DstPolicy {
  /** A time that does not exist: `next` runs it at the first valid instant after the gap, `skip` drops it. */
  gap: 'next' | 'skip';
  /** A time that occurs twice. */
  overlap: 'first' | 'last' | 'both';
}

/** How much of what was missed is made up for. */
export interface CatchupRule {
  policy: CatchupPolicy;
  /** Milliseconds; times further back than this are only counted. */
  windowMs: number;
  /** With `all`: at most this many runs, the newest kept. */
  max: number;
}

/**
 * Days on which a schedule fires, judged by the local date of the nominal time in the schedule's zone. Weekday lists
 * make the rule, dates are exceptions from it; where no weekday list is given, included dates are the only ones.
 */
export interface ScheduleCalendar {
  /** `YYYY-MM-DD`; fires although its weekday does not. */
  includeDates?: string[];
  /** `YYYY-MM-DD`; never fires, whatever else says so. */
  excludeDates?: string[];
  /** 0 (Sunday) to 6; where given, only these weekdays fire. */
  includeWeekdays?: number[];
  /** 0 (Sunday) to 6; these weekdays do not fire. */
  excludeWeekdays?: number[];
}

/** One schedule of a pipeline, defaults applied. */
export interface ScheduleDefinition {
  /** The full id, `pipeline.schedule`. */
  id: string;
  /** The id within the pipeline. */
  name: string;
  tenant: string;
  pipeline: string;
  description?: string;
  enabled: boolean;
  cron: string;
  /** An IANA zone name. */
  timezone: string;
  dst?: Partial<DstPolicy>;
  overlap: OverlapPolicy;
  catchup: CatchupRule;
  /** Milliseconds a fire may be late before it counts as missed; at most half the distance to the next time. */
  graceMs: number;
  /** Milliseconds; the fire is delayed by a stable offset below this and below the distance to the next time. */
  jitterMs: number;
  calendar?: ScheduleCalendar;
  inputs?: Record<string, unknown>;
  priority?: number;
  /** Its own, or that of its pipeline. */
  sla?: Sla;
}

/** Defaults of a schedule. */
export const scheduleDefaults = {
  timezone: 'UTC',
  enabled: true,
  overlap: 'skip',
  /** `last`: one run says that work was late without a flood; 24 h: yesterday's work is usually stale. */
  catchup: { policy: 'last', windowMs: 86_400_000, max: 100 },
  /** A minute: the granularity of cron, more than any healthy node is ever late. */
  graceMs: 60_000,
  jitterMs: 0,
} as const satisfies Partial<ScheduleDefinition>;
