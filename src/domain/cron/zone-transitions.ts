// When a time zone's clock changes: offsets and transitions of IANA zones, in whole seconds.
import { RecentCache } from './recent-cache.ts';

/** A change of a zone's offset. Instants and offsets are in seconds; an offset is local time minus UTC. */
export interface ZoneTransition {
  /** The first instant of the new offset, in Unix seconds. */
  readonly at: number;
  readonly before: number;
  readonly after: number;
}

/** A time zone that does not exist, or is no IANA name. */
export class ZoneError extends Error {
  readonly timezone: string;

  constructor(timezone: string, reason: string, options?: ErrorOptions) {
    super(`time zone ${JSON.stringify(timezone.slice(0, 80))} is refused: ${reason}`, options);
    this.name = 'ZoneError';
    this.timezone = timezone;
  }
}

interface ZoneYear {
  readonly offsetAtStart: number;
  readonly transitions: readonly ZoneTransition[];
}

/**
 * Out-and-back changes as close as four days exist (Freetown 1939; Recife 2000: seven days), so the probes are
 * nearer together than that. A year costs about 0.2 ms once.
 */
const PROBE_SECONDS = 3 * 86_400;

/** Years kept per zone: an API caller can ask for any. */
const MAX_YEARS = 1_000;

export class Zone {
  readonly name: string;
  readonly #format: Intl.DateTimeFormat;
  readonly #years = new RecentCache<number, ZoneYear>(MAX_YEARS);
  readonly #isUtc: boolean;

  constructor(name: string) {
    this.name = name;
    this.#format = formatOf(name);
    this.#isUtc = this.#format.resolvedOptions().timeZone === 'UTC';
  }

  /** Local time minus UTC, in seconds, at a Unix second. */
  offsetAt(second: number): number {
    if (this.#isUtc) {
      return 0;
    }
    const year = this.#yearOf(utcYearOf(second));
    let offset = year.offsetAtStart;
    for (const transition of year.transitions) {
      if (transition.at > second) {
        break;
      }
      offset = transition.after;
    }
    return offset;
  }

  /** The first transition after `second` and no later than `limit`. */
  transitionAfter(second: number, limit: number): ZoneTransition | undefined {
    if (this.#isUtc || limit <= second) {
      return undefined;
    }
    const lastYear = utcYearOf(limit);
    for (let year = utcYearOf(second); year <= lastYear; year++) {
      for (const transition of this.#yearOf(year).transitions) {
        if (transition.at > second) {
          return transition.at <= limit ? transition : undefined;
        }
      }
    }
    return undefined;
  }

  #yearOf(year: number): ZoneYear {
    return this.#years.getOrMake(year, () => this.#probeYear(year));
  }

  #probeYear(year: number): ZoneYear {
    const start = startOfYear(year);
    const end = startOfYear(year + 1);
    const offsetAtStart = this.#readOffset(start);
    const transitions: ZoneTransition[] = [];
    // A transition in a year's first second belongs to that year: someone looks for it there.
    let known = start - 1;
    let before = this.#readOffset(known);
    while (known < end - 1) {
      const probe = Math.min(known + PROBE_SECONDS, end - 1);
      const after = this.#readOffset(probe);
      if (after !== before) {
        transitions.push({ at: this.#firstSecondAfterChange(known, probe, before), before, after });
      }
      known = probe;
      before = after;
    }
    return { offsetAtStart, transitions };
  }

  #firstSecondAfterChange(unchanged: number, changed: number, before: number): number {
    let [low, high] = [unchanged, changed];
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      if (this.#readOffset(middle) === before) {
        low = middle;
      } else {
        high = middle;
      }
    }
    return high;
  }

  #readOffset(second: number): number {
    const text = this.#format.format(second * 1000);
    const parts = /GMT(?:([+-])(\d{2}):(\d{2})(?::(\d{2}))?)?$/.exec(text);
    if (parts === null) {
      throw new ZoneError(this.name, `the platform's description of its offset cannot be read: ${text}`);
    }
    const size = Number(parts[2] ?? 0) * 3600 + Number(parts[3] ?? 0) * 60 + Number(parts[4] ?? 0);
    return parts[1] === '-' ? -size : size;
  }
}

const zones = new RecentCache<string, Zone>(1_000);

/** The zone of an IANA name, shared. Throws ZoneError. */
export function zoneOf(name: string): Zone {
  return zones.getOrMake(name, () => new Zone(name));
}

/** IANA names without a region. The platform knows other short ones that surprise: to it BST is Bangladesh. */
const SHORT_NAMES = new Set([
  'GMT',
  'UTC',
  'UCT',
  'EST',
  'MST',
  'HST',
  'CET',
  'EET',
  'MET',
  'WET',
  'PRC',
  'ROC',
  'ROK',
]);

function formatOf(name: string): Intl.DateTimeFormat {
  if (!/^[A-Za-z][A-Za-z0-9_+\-/]{1,63}$/.test(name)) {
    throw new ZoneError(name, 'expected an IANA name such as "Europe/Berlin" or "UTC"');
  }
  if (name.length === 3 && !SHORT_NAMES.has(name.toUpperCase())) {
    throw new ZoneError(name, 'an abbreviation is ambiguous; expected an IANA name such as "Europe/Berlin"');
  }
  try {
    return new Intl.DateTimeFormat('en-US', { timeZone: name, timeZoneName: 'longOffset' });
  } catch (cause) {
    throw new ZoneError(name, 'no such IANA zone', { cause });
  }
}

function utcYearOf(second: number): number {
  return new Date(second * 1000).getUTCFullYear();
}

function startOfYear(year: number): number {
  const date = new Date(0);
  date.setUTCFullYear(year, 0, 1);
  return date.getTime() / 1000;
}
