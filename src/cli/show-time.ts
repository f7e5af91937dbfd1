// Instants and durations as people read them: short, with the unit, and never without saying which zone.

const units: readonly (readonly [name: string, seconds: number])[] = [
  ['d', 86_400],
  ['h', 3_600],
  ['min', 60],
  ['s', 1],
];

/** `0 ms`, `950 ms`, `1.2 s`, `59 s`, `2 min 5 s`, `3 h 20 min`, `4 d 6 h`: two units at most. */
export function showDuration(ms: number): string {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 9_950) return `${(ms / 1_000).toFixed(1)} s`;
  let seconds = Math.round(ms / 1_000);
  const parts: string[] = [];
  for (const [name, size] of units) {
    const count = Math.floor(seconds / size);
    if (count > 0) parts.push(`${count} ${name}`);
    else if (parts.length > 0) break;
    if (parts.length === 2) break;
    seconds -= count * size;
  }
  return parts.join(' ');
}

/** `in 3 h 20 min`, `5 min ago`, `now`. */
export function showRelative(instantMs: number, nowMs: number): string {
  const distance = instantMs - nowMs;
  if (Math.abs(distance) < 1_000) return 'now';
  const seconds = Math.round(Math.abs(distance) / 1_000);
  const text = seconds < 60 ? `${seconds} s` : showDuration(seconds * 1_000);
  return distance > 0 ? `in ${text}` : `${text} ago`;
}

/** `2026-11-22 03:12:44Z`: UTC, to the second. */
export function showUtc(instantMs: number): string {
  return `${new Date(instantMs).toISOString().slice(0, 19).replace('T', ' ')}Z`;
}

export interface LocalTime {
  /** `Sun 2026-11-22 22:12:44 -05:00`. */
  text: string;
  /** `-05:00`. */
  offset: string;
  /** `EST`, or the offset where the zone has no name for it. */
  abbreviation: string;
}

const formats = new Map<string, Intl.DateTimeFormat>();

/** An instant on the wall clock of an IANA zone, with its offset. */
export function localTime(instantMs: number, timezone: string): LocalTime {
  const parts = new Map(
    wallClock(timezone)
      .formatToParts(instantMs)
      .map((part) => [part.type, part.value]),
  );
  const part = (name: Intl.DateTimeFormatPartTypes): string => parts.get(name) ?? '';
  const wall = Date.UTC(
    Number(part('year')),
    Number(part('month')) - 1,
    Number(part('day')),
    Number(part('hour')),
    Number(part('minute')),
    Number(part('second')),
  );
  const offset = showOffset(wall - Math.floor(instantMs / 1_000) * 1_000);
  const date = `${part('year')}-${part('month')}-${part('day')}`;
  return {
    text: `${part('weekday')} ${date} ${part('hour')}:${part('minute')}:${part('second')} ${offset}`,
    offset,
    abbreviation: part('timeZoneName'),
  };
}

function wallClock(timezone: string): Intl.DateTimeFormat {
  let format = formats.get(timezone);
  if (!format) {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: timezone,
      hourCycle: 'h23',
      weekday: 'short',
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
      hour: '2-digit',
      minute: '2-digit',
      second: '2-digit',
      timeZoneName: 'short',
    });
    formats.set(timezone, format);
  }
  return format;
}

function showOffset(ms: number): string {
  const sign = ms < 0 ? '-' : '+';
  const seconds = Math.abs(ms) / 1_000;
  const two = (value: number): string => String(Math.floor(value)).padStart(2, '0');
  // Zones before 1900 or so had offsets with seconds.
  const rest = seconds % 60 === 0 ? '' : `:${two(seconds % 60)}`;
  return `${sign}${two(seconds / 3_600)}:${two((seconds / 60) % 60)}${rest}`;
}
