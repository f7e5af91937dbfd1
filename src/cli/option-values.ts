// Reads the values of options; what is wrong is said with what was got and what was expected.
import { parseDuration } from '../config/duration.ts';
import { CronwrightError } from '../domain/errors.ts';

const isoInstant = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2}))?$/i;

/** A whole number from `min` to `max`. */
export function wholeNumber(option: string, min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || value > max) {
      throw wrongOption(option, text, `a whole number from ${min} to ${max}`);
    }
    return value;
  };
}

/** Milliseconds since the epoch of an ISO instant with its offset; a date alone is its midnight in UTC. */
export function instant(option: string, text: string): number {
  const value = isoInstant.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(value)) {
    throw wrongOption(option, text, 'an instant with its offset such as 2026-03-01T06:00:00Z, or a date');
  }
  return value;
}

/** An ISO instant, or a duration counted back (`2h`: two hours ago) or on (`direction` 1) from now. */
export function instantOrDistance(option: string, text: string, nowMs: number, direction: 1 | -1 = -1): number {
  const distance = parseDuration(text);
  if (distance !== undefined) return nowMs + direction * distance;
  try {
    return instant(option, text);
  } catch {
    const example = direction === 1 ? '2h for in two hours' : '2h for two hours ago';
    throw wrongOption(option, text, `an instant such as 2026-03-01T06:00:00Z, or a duration such as ${example}`);
  }
}

/** One of a few words. */
export function oneOf<Word extends string>(option: string, words: readonly Word[]): (text: string) => Word {
  return (text) => {
    const found = words.find((word) => word === text);
    if (found === undefined) throw wrongOption(option, text, `one of: ${words.join(', ')}`);
    return found;
  };
}

/** Collects a repeatable option in the order given. */
export function collect(value: string, previous: readonly string[] = []): string[] {
  return [...previous, value];
}

export function wrongOption(option: string, got: string, expected: string): CronwrightError {
  return new CronwrightError('invalid_input', `${option}: got "${got}", expected ${expected}`, {
    problems: [{ path: option, message: 'not accepted', got, expected }],
  });
}
