// Durations as people write them (`90s`, `1h 30m`), as milliseconds; a number without a unit is refused.
import parse from 'parse-duration';

/** Of a duration as it is written. */
export const durationPattern = /^(?:\d+(?:\.\d+)?\s*(?:ms|s|m|h|d|w)\s*)+$/;

export const durationExpectation = 'a number and a unit: 500ms, 30s, 5m, 1h 30m, 7d';

/** Milliseconds of `90s`, `1h 30m`, `1.5h`, `2w`; undefined where the text is none. Units: ms, s, m, h, d, w. */
export function parseDuration(text: string): number | undefined {
  const trimmed = text.trim();
  if (trimmed.length > 40 || !durationPattern.test(trimmed)) return undefined;
  const milliseconds = parse(trimmed);
  if (milliseconds === null || !Number.isFinite(milliseconds)) return undefined;
  return Math.round(milliseconds);
}
