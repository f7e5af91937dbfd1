// A cron expression in a time zone → the instants it fires at: wall-clock times mapped over the zone's transitions.
import type { DstPolicy, ScheduleCalendar } from '../schedule.ts';
import { createDayFilter, type DayFilter } from './day-filter.ts';
import { dayTableOf } from './match-days.ts';
import { type CronPattern, parseCron } from './parse-cron.ts';
import { RecentCache } from './recent-cache.ts';
import { createEveryClock, createFieldClock, type WallClock } from './wall-clock.ts';
import { type Zone, type ZoneTransition, zoneOf } from './zone-transitions.ts';

/** One instant at which a schedule is to fire. */
export interface Occurrence {
  /** The instant, in UTC. */
  readonly at: Date;
  /** Nominal times that land on this instant: 1, or more where a gap pushed several together. */
  readonly nominalCount: number;
}

export interface OccurrenceCount {
  /** Nominal times. */
  readonly nominal: number;
  /** Different instants; fewer than `nominal` where several land on one. */
  readonly instants: number;
}

/** An expression in a zone, ready to be asked. Instants are Unix milliseconds; occurrences come in order. */
export interface CompiledSchedule {
  /** Up to `count` occurrences strictly after `afterMs`; fewer where time (the year 10,000) ends. */
  next(afterMs: number, count: number): Occurrence[];
  /** Up to `limit` occurrences in (fromExclusiveMs, toInclusiveMs], the oldest first. */
  between(fromExclusiveMs: number, toInclusiveMs: number, limit: number): Occurrence[];
  /** The newest `limit` occurrences in (fromExclusiveMs, toInclusiveMs], in order; cheap however long the span. */
  last(fromExclusiveMs: number, toInclusiveMs: number, limit: number): Occurrence[];
  /** How many are in (fromExclusiveMs, toInclusiveMs], by arithmetic: the cost grows with months, not with times. */
  count(fromExclusiveMs: number, toInclusiveMs: number): OccurrenceCount;
  /** The same schedule on only the days its calendar lets through (`inside`), or on only the others (`outside`). */
  onDays(calendar: ScheduleCalendar, side: 'inside' | 'outside'): CompiledSchedule;
  /** No day there is ever matches, calendar aside. */
  readonly neverFires: boolean;
  /** The schedule names times of day; else it is an interval. Decides what a change of the clock does to it. */
  readonly fixedTime: boolean;
}

export interface CompileOptions {
  dst?: Partial<DstPolicy>;
  /** What `H` is hashed from: the schedule's id. */
  id?: string;
}

/** About 1 kB each. Only schedules with `H` need an entry of their own, and 10,000 of them may be due together. */
const compiled = new RecentCache<string, CompiledSchedule>(20_000);

/**
 * Compiles an expression of the dialect (DESIGN: Vixie's, with L, W, #, H, wrap-around ranges and `@every`) for an
 * IANA zone. Equal arguments share one answer.
 * @throws CronError with column and reason; ZoneError for a zone that does not exist.
 */
export function compileCron(expression: string, timezone: string, options: CompileOptions = {}): CompiledSchedule {
  const { dst, id } = options;
  // Only `H` reads the id; leaving it out of other keys lets 100,000 schedules share one entry.
  const key = [expression, timezone, dst?.gap, dst?.overlap, /h/i.test(expression) ? id : undefined].join('\n');
  return compiled.getOrMake(key, () => {
    const pattern = parseCron(expression, id);
    return new ZonedSchedule(pattern, zoneOf(timezone), dstPolicyOf(pattern, dst));
  });
}

function dstPolicyOf(pattern: CronPattern, dst: Partial<DstPolicy> | undefined): DstPolicy {
  if (pattern.kind === 'every') {
    return { gap: 'skip', overlap: 'both' };
  }
  return {
    gap: dst?.gap ?? (pattern.fixedTime ? 'next' : 'skip'),
    overlap: dst?.overlap ?? (pattern.fixedTime ? 'first' : 'both'),
  };
}

/** No zone's clock ever moved by more than a day and a few hours at once. */
const LONGEST_SHIFT = 2 * 86_400;

class ZonedSchedule implements CompiledSchedule {
  readonly neverFires: boolean;
  readonly fixedTime: boolean;
  readonly #pattern: CronPattern;
  readonly #zone: Zone;
  readonly #dst: DstPolicy;
  readonly #clock: WallClock;

  constructor(pattern: CronPattern, zone: Zone, dst: DstPolicy, filter?: DayFilter) {
    this.#pattern = pattern;
    this.#zone = zone;
    this.#dst = dst;
    if (pattern.kind === 'every') {
      this.#clock = createEveryClock(pattern.periodSeconds, filter);
      this.neverFires = false;
      this.fixedTime = false;
    } else {
      this.#clock = createFieldClock(pattern, filter);
      this.neverFires = !dayTableOf(pattern.days).everMatches(pattern.months);
      this.fixedTime = pattern.fixedTime;
    }
  }

  next(afterMs: number, count: number): Occurrence[] {
    return this.#walk(afterMs, Number.POSITIVE_INFINITY, count);
  }

  between(fromExclusiveMs: number, toInclusiveMs: number, limit: number): Occurrence[] {
    return this.#walk(fromExclusiveMs, toInclusiveMs, limit);
  }

  last(fromExclusiveMs: number, toInclusiveMs: number, limit: number): Occurrence[] {
    if (limit <= 0) {
      return [];
    }
    let [start, end] = [fromExclusiveMs, toInclusiveMs];
    // Halve until no later start still has enough: `start` always has, `end` never.
    if (this.count(start, toInclusiveMs).instants > limit) {
      while (end - start > 1000) {
        const middle = Math.floor((start + end) / 2);
        if (this.count(middle, toInclusiveMs).instants >= limit) {
          start = middle;
        } else {
          end = middle;
        }
      }
    }
    return this.#walk(start, toInclusiveMs, limit + 2).slice(-limit);
  }

  count(fromExclusiveMs: number, toInclusiveMs: number): OccurrenceCount {
    const count = { nominal: 0, instants: 0 };
    if (this.neverFires || toInclusiveMs <= fromExclusiveMs) {
      return count;
    }
    const until = Math.floor(toInclusiveMs / 1000) + 1;
    let second = Math.floor(fromExclusiveMs / 1000) + 1;
    let offset = this.#zone.offsetAt(second);
    let passed = second - 1;
    second = this.#afterRepeat(second);
    while (second < until) {
      const transition = this.#zone.transitionAfter(passed, until + LONGEST_SHIFT);
      const end = Math.min(until, transition === undefined ? until : this.#lastSecondBefore(transition));
      const inSpan = this.#clock.count(second + offset, end + offset, offset);
      count.nominal += inSpan;
      count.instants += inSpan;
      if (transition === undefined || transition.at >= until) {
        break;
      }
      const moved = this.#movedOutOf(transition);
      count.nominal += moved;
      count.instants += moved > 0 && !this.#firesAt(transition.at, transition.after) ? 1 : 0;
      passed = transition.at;
      second = Math.max(second, this.#firstSecondAfter(transition));
      offset = transition.after;
    }
    return count;
  }

  onDays(calendar: ScheduleCalendar, side: 'inside' | 'outside'): CompiledSchedule {
    return new ZonedSchedule(this.#pattern, this.#zone, this.#dst, createDayFilter(calendar, side));
  }

  /** Goes from nominal time to nominal time, and stops at every transition on the way. */
  #walk(afterMs: number, untilMs: number, limit: number): Occurrence[] {
    const found: Occurrence[] = [];
    if (this.neverFires) {
      return found;
    }
    let second = Math.floor(afterMs / 1000) + 1;
    let offset = this.#zone.offsetAt(second);
    let passed = second - 1;
    second = this.#afterRepeat(second);
    while (found.length < limit) {
      const candidate = this.#clock.next(second + offset, offset) - offset;
      const lookAhead = this.#dst.overlap === 'last' ? LONGEST_SHIFT : 0;
      const over = candidate === Number.POSITIVE_INFINITY;
      // Where nothing is ahead on the wall, a clock that is soon set back can still show the last times again.
      const limit = over ? second + LONGEST_SHIFT : candidate + lookAhead;
      const transition = this.#zone.transitionAfter(passed, limit);
      if (over && transition === undefined) {
        break;
      }
      let at = candidate;
      let nominalCount = 1;
      if (transition !== undefined && candidate >= this.#lastSecondBefore(transition)) {
        nominalCount = this.#movedOutOf(transition);
        at = transition.at;
        passed = transition.at;
        offset = transition.after;
        second = Math.max(second, this.#firstSecondAfter(transition));
        if (nominalCount === 0) {
          continue;
        }
        if (this.#firesAt(at, offset)) {
          nominalCount += 1;
        }
      }
      if (at * 1000 > untilMs) {
        break;
      }
      found.push({ at: new Date(at * 1000), nominalCount });
      second = Math.max(second, at + 1);
    }
    return found;
  }

  /** Where a walk may begin: with `first`, after the repeated times that `second` stands among. */
  #afterRepeat(second: number): number {
    if (this.#dst.overlap !== 'first') {
      return second;
    }
    const transition = this.#zone.transitionAfter(second - LONGEST_SHIFT, second);
    return transition === undefined ? second : Math.max(second, this.#firstSecondAfter(transition));
  }

  /** The first second after a transition that counts: repeated times are over with `first`. */
  #firstSecondAfter({ at, before, after }: ZoneTransition): number {
    return this.#dst.overlap === 'first' ? at + Math.max(0, before - after) : at;
  }

  /** The end of what counts before a transition: with `last`, the times that will come again do not. */
  #lastSecondBefore({ at, before, after }: ZoneTransition): number {
    return this.#dst.overlap === 'last' ? at - Math.max(0, before - after) : at;
  }

  /** How many times a gap swallows that are to run at its end. Their days are those of their nominal dates. */
  #movedOutOf({ at, before, after }: ZoneTransition): number {
    return this.#dst.gap === 'next' ? this.#clock.count(at + before, at + after, after) : 0;
  }

  #firesAt(second: number, offset: number): boolean {
    return this.#clock.next(second + offset, offset) === second + offset;
  }
}
