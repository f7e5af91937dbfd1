// The shapes of what a step may say beyond its work: a timeout that adapts, a cache of its results, limits of its processes.
import { z } from 'zod';
import { autoExpectation, parseAuto, percentiles } from '../domain/adaptive-timeout.ts';
import { pipelineDefaults as defaults } from './defaults.ts';
import { duration, says, text } from './schema-parts.ts';
import { parseSize, sizeExpectation, sizePattern } from './size.ts';

const factor = `^p(${percentiles.join('|')})\\s*[×x*]\\s*\\d+(\\.\\d+)?$`;

const adaptiveTimeout = z
  .strictObject({
    auto: z
      .string()
      .meta({ pattern: factor })
      .transform((value, context) => {
        const rule = parseAuto(value);
        if (rule) return rule;
        context.addIssue({ code: 'custom', message: says('not a rule for a timeout', autoExpectation) });
        return z.NEVER;
      })
      .describe(
        'Percentile of how long the last completed ones took, times a factor: `p99 × 3`. Fewer than 20: not below the default.',
      ),
    min: duration.prefault(defaults['timeout.min'].value).describe('Never shorter than this.'),
    max: duration.prefault(defaults['timeout.max'].value).describe('Never longer than this.'),
  })
  .refine(({ min, max }) => min <= max, { message: says('min is above max', 'min ≤ max'), path: ['min'] });

/** A duration, or a rule that finds one. */
export function timeoutSchema(usual: string) {
  return z.union([duration, adaptiveTimeout]).prefault(usual);
}

export type TimeoutShape = z.output<ReturnType<typeof timeoutSchema>>;

export const cacheSchema = z
  .strictObject({
    key: text.min(1).describe('What the result depends on; an expression. Equal keys, equal results.'),
    ttl: duration.prefault(defaults['steps.cache.ttl'].value).describe('A result older than this is made again.'),
    scope: z
      .enum(['pipeline', 'tenant'])
      .default(defaults['steps.cache.scope'].value)
      .describe('Who shares results: steps of one type in this pipeline, or in all pipelines of the tenant.'),
  })
  .describe('A step whose key completed before is not run: it is completed with the output of that time.');

/** Text with a unit in, bytes out. */
const size = z
  .string({
    error: (issue) => (issue.input === undefined ? undefined : says('a size needs a unit', sizeHint(issue.input))),
  })
  .meta({ pattern: sizePattern.source })
  .transform((value, context) => {
    const bytes = parseSize(value);
    if (bytes !== undefined) return bytes;
    context.addIssue({ code: 'custom', message: says('not a size', sizeExpectation) });
    return z.NEVER;
  });

const megabyte = 1_048_576;

export const limitsSchema = z
  .strictObject({
    memory: size
      .refine((bytes) => bytes >= 64 * megabyte, says('too little for a process', 'at least 64MB'))
      .optional()
      .describe('Memory of all processes of an attempt together.'),
    cpu: duration
      .refine((ms) => ms >= 1_000, says('too little for a process', 'at least 1s'))
      .optional()
      .describe('Processor time of all processes of an attempt together.'),
    open_files: z
      .int()
      .min(32)
      .max(1_000_000)
      .optional()
      .describe('Files and sockets that each process may have open.'),
    output: size
      .refine((bytes) => bytes >= 1_024, says('too little for a log', 'at least 1KB'))
      .optional()
      .describe('What the processes may print; more ends them.'),
  })
  .describe('What the processes of a step may use; for step types that run in a process or start programs.');

function sizeHint(input: unknown): string {
  return typeof input === 'number' ? `text such as "${input}MB"` : sizeExpectation;
}
