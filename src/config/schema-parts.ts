// The small pieces that the schemas of settings and pipelines share: ids, durations, texts, and how they complain.
import { z } from 'zod';
import { durationExpectation, durationPattern, parseDuration } from './duration.ts';

/** A message with what was expected; `zodProblems` takes it apart again. */
export function says(message: string, expected: string): string {
  return `${message}\n${expected}`;
}

/** Ids that are names in expressions: of steps and inputs. */
export const nameId = z
  .string()
  .max(64)
  .regex(/^[a-z][a-z0-9_]*$/, says('not an id', 'a small letter, then small letters, digits and _'));

/** Ids of pipelines, schedules, queues, tenants and groups. */
export const hyphenId = z
  .string()
  .max(64)
  .regex(/^[a-z][a-z0-9_-]*$/, says('not an id', 'a small letter, then small letters, digits, _ and -'));

export const text = z.string().max(100_000);

/** Text with a unit in, milliseconds out. */
export const duration = z
  .string({
    error: (issue) =>
      issue.input === undefined ? undefined : says('a duration needs a unit', durationHint(issue.input)),
  })
  .meta({ pattern: durationPattern.source })
  .transform((value, context) => {
    const milliseconds = parseDuration(value);
    if (milliseconds !== undefined) return milliseconds;
    context.addIssue({ code: 'custom', message: says('not a duration', durationExpectation) });
    return z.NEVER;
  })
  .describe('A duration with its unit: 500ms, 30s, 5m, 1h 30m, 7d.');

function durationHint(input: unknown): string {
  return typeof input === 'number' ? `text such as "${input}s" or "${input}m"` : durationExpectation;
}
