// A second reading of the cron rules, written from their words alone: slow, step by step, sharing no code with src.

/** A stretch of a zone's clock, read instant by instant from the platform. */
export interface ZoneWindow {
  readonly zone: string;
  /** Seconds between readings: 60, or 1 where offsets have seconds. */
  readonly step: 1 | 60;
  /** Unix seconds. */
  readonly instants: readonly number[];
  /** What the clock on the wall shows, written as Unix seconds of the same reading in UTC. */
  readonly walls: readonly number[];
  /** 0: shown once in this window, 1: shown again later, 2: shown before. */
  readonly repeats: readonly number[];
  /** Readings that never come, and the first instant after them. */
  readonly missing: readonly { readonly wall: number; readonly at: number }[];
  /** The instant of the first jump, or the middle. */
  readonly center: number;
}

export interface OracleDst {
  readonly gap?: 'next' | 'skip';
  readonly overlap?: 'first' | 'last' | 'both';
}

/** Reads a zone's clock from `around - reach` to `around + reach` (seconds). */
export function readWindow(zone: string, around: number, reach: number, step: 1 | 60): ZoneWindow {
  const format = new Intl.DateTimeFormat('sv-SE', { timeZone: zone, dateStyle: 'short', timeStyle: 'medium' });
  const instants: number[] = [];
  const walls: number[] = [];
  for (let instant = around - reach; instant <= around + reach; instant += step) {
    instants.push(instant);
    walls.push(Date.parse(`${format.format(instant * 1000).replace(' ', 'T')}Z`) / 1000);
  }
  const missing: { wall: number; at: number }[] = [];
  let center = around;
  for (const [index, wall] of walls.entries()) {
    const previous = walls[index - 1];
    const at = instants[index] ?? 0;
    if (previous !== undefined && wall !== previous + step) {
      center = at;
      for (let lost = previous + step; lost < wall; lost += step) {
        missing.push({ wall: lost, at });
      }
    }
  }
  const lastShown = new Map(walls.map((wall, index) => [wall, index]));
  const shown = new Set<number>();
  const repeats = walls.map((wall, index) => {
    const before = shown.has(wall);
    shown.add(wall);
    return before ? 2 : lastShown.get(wall) === index ? 0 : 1;
  });
  return { zone, step, instants, walls, repeats, missing, center };
}

/** Instants (Unix seconds) in (fromMs, untilMs], each with the number of nominal times on it, in order. */
export function oracleOccurrences(
  expression: string,
  window: ZoneWindow,
  fromMs: number,
  untilMs: number,
  dst: OracleDst = {},
): [number, number][] {
  const rule = readRule(expression);
  const gap = dst.gap ?? (rule.fixed ? 'next' : 'skip');
  const overlap = dst.overlap ?? (rule.fixed ? 'first' : 'both');
  const unwanted = overlap === 'first' ? 2 : overlap === 'last' ? 1 : -1;
  const found = new Map<number, number>();
  const add = (at: number) => {
    if (at * 1000 > fromMs && at * 1000 <= untilMs) {
      found.set(at, (found.get(at) ?? 0) + 1);
    }
  };
  const secondsOf = (wall: number) =>
    window.step === 60 ? rule.seconds : rule.seconds.has(modulo(wall, 60)) ? [0] : [];
  const indexOf = (ms: number) => Math.floor((ms / 1000 - (window.instants[0] ?? 0)) / window.step);
  for (let index = Math.max(0, indexOf(fromMs)); index <= indexOf(untilMs); index += 1) {
    const wall = window.walls[index] ?? 0;
    if (window.repeats[index] !== unwanted && rule.matchesMinute(wall)) {
      for (const second of secondsOf(wall)) {
        add((window.instants[index] ?? 0) + second);
      }
    }
  }
  if (gap === 'next') {
    for (const { wall, at } of window.missing) {
      if (rule.matchesMinute(wall)) {
        for (const _ of secondsOf(wall)) {
          add(at);
        }
      }
    }
  }
  return [...found].sort(([a], [b]) => a - b);
}

interface Rule {
  readonly fixed: boolean;
  readonly seconds: ReadonlySet<number>;
  matchesMinute(wall: number): boolean;
}

const NICKNAMES = new Map([
  ['@hourly', '0 * * * *'],
  ['@daily', '0 0 * * *'],
  ['@midnight', '0 0 * * *'],
  ['@weekly', '0 0 * * 0'],
  ['@monthly', '0 0 1 * *'],
  ['@yearly', '0 0 1 1 *'],
  ['@annually', '0 0 1 1 *'],
]);
const MONTH_NAMES = 'jan feb mar apr may jun jul aug sep oct nov dec'.split(' ');
const DAY_NAMES = 'sun mon tue wed thu fri sat'.split(' ');

function readRule(expression: string): Rule {
  const text = NICKNAMES.get(expression.toLowerCase()) ?? expression;
  const words = text.toLowerCase().trim().split(/\s+/);
  if (words.length === 5) {
    words.unshift('0');
  }
  const [second = '', minute = '', hour = '', date = '', month = '', weekday = ''] = words;
  const minutes = expand(minute, 0, 59);
  const hours = expand(hour, 0, 23);
  const months = expand(month, 1, 12, MONTH_NAMES);
  const matchesDay = dayMatcher(date, weekday, months);
  return {
    fixed: ![second, minute, hour].some((field) => field.includes('*') || field.includes('?') || field.includes('/')),
    seconds: expand(second, 0, 59),
    matchesMinute: (wall) =>
      minutes.has(modulo(Math.floor(wall / 60), 60)) &&
      hours.has(modulo(Math.floor(wall / 3600), 24)) &&
      matchesDay(Math.floor(wall / 86_400)),
  };
}

/** All values of a field, each item on its own. */
function expand(field: string, low: number, high: number, names: string[] = []): Set<number> {
  const number = (word: string) => (names.includes(word) ? names.indexOf(word) + low : Number(word));
  const values = new Set<number>();
  for (const item of field.split(',')) {
    const [span = '', step] = item.split('/');
    const every = step === undefined ? 1 : Number(step);
    let [from, to]: [number, number] = [low, high];
    if (span !== '*' && span !== '?') {
      const [a = '', b] = span.split('-');
      from = number(a);
      to = b === undefined ? (step === undefined ? from : high) : number(b);
    }
    // Walk the ring of values one by one, and take each `every`th.
    for (let value = from, index = 0; ; value = value === high ? low : value + 1, index += 1) {
      if (index % every === 0) {
        values.add(value);
      }
      if (value === to) {
        break;
      }
    }
  }
  return values;
}

function dayMatcher(date: string, weekday: string, months: Set<number>): (day: number) => boolean {
  const both = /^[*?]/.test(date) || /^[*?]/.test(weekday);
  const known = new Map<number, boolean>();
  return (day) => {
    let matches = known.get(day);
    if (matches === undefined) {
      const then = new Date(day * 86_400_000);
      const inMonth = date.split(',').some((item) => dateItemMatches(item, then));
      const inWeek = weekday.split(',').some((item) => weekdayItemMatches(item, then));
      matches = months.has(then.getUTCMonth() + 1) && (both ? inMonth && inWeek : inMonth || inWeek);
      known.set(day, matches);
    }
    return matches;
  };
}

function dateItemMatches(item: string, then: Date): boolean {
  const date = then.getUTCDate();
  const [year, month] = [then.getUTCFullYear(), then.getUTCMonth()];
  const last = new Date(Date.UTC(year, month + 1, 0)).getUTCDate();
  const isWeekday = (day: number) => ![0, 6].includes(new Date(Date.UTC(year, month, day)).getUTCDay());
  if (item === 'l') {
    return date === last;
  }
  if (item === 'lw') {
    // The last day that is a weekday: this one is, and none after it is.
    return isWeekday(date) && !range(date + 1, last).some(isWeekday);
  }
  if (item.endsWith('w')) {
    const wanted = Number(item.slice(0, -1));
    if (wanted > last || !isWeekday(date)) {
      return false;
    }
    // The nearest weekday of the same month; Saturday leans back and Sunday on, unless that leaves the month.
    const nearest = range(1, last)
      .filter(isWeekday)
      .sort((a, b) => Math.abs(a - wanted) - Math.abs(b - wanted));
    return nearest[0] === date;
  }
  return expand(item, 1, 31).has(date);
}

function weekdayItemMatches(item: string, then: Date): boolean {
  const date = then.getUTCDate();
  const weekday = then.getUTCDay();
  const special = /^(\d|[a-z]{3})(#(\d)|l)$/.exec(item);
  if (special !== null) {
    const [, name = '', , nth] = special;
    const wanted = (DAY_NAMES.includes(name) ? DAY_NAMES.indexOf(name) : Number(name)) % 7;
    const isLast = new Date(then.getTime() + 7 * 86_400_000).getUTCMonth() !== then.getUTCMonth();
    return weekday === wanted && (nth === undefined ? isLast : Math.ceil(date / 7) === Number(nth));
  }
  const [span = '', step] = item.split('/');
  if (/^[0-6]-7$/.test(span)) {
    // Up to 7 means through Sunday: counted on from the start, as 0 to 7 is the whole week.
    const every = Number(step ?? 1);
    return range(Number(span[0]), 7).some((day, index) => index % every === 0 && day % 7 === weekday);
  }
  const days = span.replace(/\b7\b/g, '0');
  return expand(step === undefined ? days : `${days}/${step}`, 0, 6, DAY_NAMES).has(weekday);
}

function range(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from + 1) }, (_, index) => from + index);
}

/** Before 1970 the seconds are negative, and `%` with them. */
function modulo(value: number, size: number): number {
  return ((value % size) + size) % size;
}
