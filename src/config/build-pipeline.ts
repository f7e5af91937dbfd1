// A pipeline as written → a pipeline as the engine sees it: defaults applied, durations in milliseconds, version computed.
import { createHash } from 'node:crypto';
import type { z } from 'zod';
import { defaultChildren } from '../domain/child-run.ts';
import { conditionText } from '../domain/expressions/template.ts';
import type { AfterDefinition, OnErrorRule, Pipeline, StepDefinition, StepLimits } from '../domain/pipeline.ts';
import { fastRetry, type RetryPolicy, slowRetry } from '../domain/retry-policy.ts';
import { type ScheduleCalendar, type ScheduleDefinition, scheduleDefaults } from '../domain/schedule.ts';
import type { SensorDefinition } from '../domain/sensor.ts';
import type { Sla } from '../domain/sla.ts';
import { pipelineDefaults as defaults } from './defaults.ts';
import { parseDuration } from './duration.ts';
import type {
  calendarSchema,
  PipelineShape,
  RetryShape,
  ScheduleShape,
  SensorShape,
  StepShape,
} from './pipeline-schema.ts';
import type { TimeoutShape } from './step-option-schemas.ts';

type AfterShape = Extract<NonNullable<PipelineShape['after']>, { pipeline: string }>;
type SlaShape = NonNullable<PipelineShape['sla']>;
export type CalendarShape = z.output<typeof calendarSchema>;
export type Calendars = Readonly<Record<string, ScheduleCalendar>>;

/** Builds the pipeline. A named calendar that does not exist is left out; the checks report it. */
export function buildPipeline(shape: PipelineShape, calendars: Calendars): Pipeline {
  const content: Omit<Pipeline, 'version'> = {
    id: shape.id,
    tenant: shape.tenant,
    ...(shape.description === undefined ? {} : { description: shape.description }),
    inputs: shape.inputs,
    env: shape.env,
    schedules: shape.schedules.map((schedule) => buildSchedule(schedule, shape, calendars)),
    ...(shape.sensors.length > 0 ? { sensors: shape.sensors.map((sensor) => buildSensor(sensor, shape)) } : {}),
    priority: shape.priority,
    queue: shape.queue,
    ...(shape.runs_on ? { runsOn: [...new Set(shape.runs_on)].sort() } : {}),
    ...buildTimeout(shape.timeout, defaultTimeoutMs.run),
    ...(shape.concurrency ? { concurrency: shape.concurrency } : {}),
    ...(shape.budget ? { budget: { perRun: shape.budget.per_run, onExceeded: shape.budget.on_exceeded } } : {}),
    ...(shape.retry ? { retry: buildRetry(shape.retry, slowRetry) } : {}),
    onInterrupted: shape.on_interrupted,
    ...(shape.on_exhausted === undefined ? {} : { onExhausted: shape.on_exhausted }),
    ...(shape.after === undefined ? {} : { after: [shape.after].flat().map(buildAfter) }),
    ...(shape.sla === undefined ? {} : { sla: buildSla(shape.sla) }),
    steps: shape.steps.map((step, index) => buildStep(step, implicitNeeds(shape.steps, index))),
    finally: shape.finally.map((step) => buildStep(step, [])),
    onFailure: shape.on_failure.map((step) => buildStep(step, [])),
  } as Omit<Pipeline, 'version'>;
  return { ...content, version: versionOf(content) };
}

function buildAfter({ pipeline, within, when, on_missing }: AfterShape): AfterDefinition {
  return { pipeline, withinMs: within, when: when ?? 'schedule', onMissing: on_missing ?? 'wait' };
}

/** SHA-256 of the content as JSON with sorted keys, its first 16 hexadecimal digits. */
export function versionOf(content: unknown): string {
  return createHash('sha256').update(canonicalJson(content)).digest('hex').slice(0, 16);
}

function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) => {
    if (typeof part !== 'object' || part === null || Array.isArray(part)) return part;
    return Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

function implicitNeeds(steps: readonly StepShape[], index: number): readonly string[] {
  const above = steps[index - 1];
  return above ? [above.id] : [];
}

function buildStep(step: StepShape, implicit: readonly string[]): StepDefinition {
  return {
    id: step.id,
    ...(step.label === undefined ? {} : { label: step.label }),
    uses: step.uses,
    with: step.with,
    needs: step.needs ?? implicit,
    ...(step.if === undefined ? {} : { if: typeof step.if === 'string' ? conditionText(step.if) : String(step.if) }),
    continueOnError: step.continue_on_error,
    env: step.env,
    ...(step.foreach === undefined
      ? {}
      : {
          foreach: {
            items: step.foreach,
            maxParallel:
              step.max_parallel ?? (step.distribute ? defaultChildren : defaults['steps.max_parallel'].value),
            onItemError: step.on_item_error ?? defaults['steps.on_item_error'].value,
          },
        }),
    ...(step.distribute ? { distribute: true } : {}),
    ...(step.chunk === undefined ? {} : { chunk: step.chunk }),
    ...(step.queue === undefined ? {} : { queue: step.queue }),
    retry: buildRetry(step.retry ?? {}, fastRetry),
    ...(step.on_exhausted === undefined ? {} : { onExhausted: step.on_exhausted }),
    ...(step.on_error === undefined ? {} : { onError: buildErrorRules(step.on_error) }),
    ...buildTimeout(step.timeout, defaultTimeoutMs.step),
    ...(step.compensate === undefined ? {} : { compensate: buildCompensation(step.compensate) }),
    ...(step.cache ? { cache: { key: step.cache.key, ttlMs: step.cache.ttl, scope: step.cache.scope } } : {}),
    ...(step.rate_limit_key === undefined ? {} : { rateLimitKey: step.rate_limit_key }),
    ...(step.limits ? { limits: buildLimits(step.limits) } : {}),
    ...(step.progress === undefined ? {} : { progress: step.progress }),
  };
}

/** What holds where nothing is known yet of how long it takes. */
const defaultTimeoutMs = {
  run: parseDuration(defaults.timeout.value) ?? 0,
  step: parseDuration(defaults['steps.timeout'].value) ?? 0,
};

function buildTimeout(shape: TimeoutShape, usualMs: number): Pick<StepDefinition, 'timeoutMs' | 'adaptiveTimeout'> {
  if (typeof shape === 'number') return { timeoutMs: shape };
  return { timeoutMs: usualMs, adaptiveTimeout: { ...shape.auto, minMs: shape.min, maxMs: shape.max } };
}

function buildLimits({ memory, cpu, open_files, output }: NonNullable<StepShape['limits']>): StepLimits {
  return {
    ...(memory === undefined ? {} : { memoryBytes: memory }),
    ...(cpu === undefined ? {} : { cpuMs: cpu }),
    ...(open_files === undefined ? {} : { openFiles: open_files }),
    ...(output === undefined ? {} : { outputBytes: output }),
  };
}

function buildErrorRules(shape: NonNullable<StepShape['on_error']>): Record<string, OnErrorRule> {
  const rules = Object.entries(shape).map(([name, { choose, timeout, ai_fix: aiFix }]): [string, OnErrorRule] => [
    name,
    { choose, ...(timeout === undefined ? {} : { timeoutMs: timeout }), ...(aiFix === undefined ? {} : { aiFix }) },
  ]);
  return Object.fromEntries(rules);
}

function buildCompensation(shape: NonNullable<StepShape['compensate']>): NonNullable<StepDefinition['compensate']> {
  return shape && { timeoutMs: shape.timeout, retry: buildRetry(shape.retry ?? {}, fastRetry) };
}

function buildRetry(shape: RetryShape, usual: RetryPolicy): RetryPolicy {
  const base = shape.policy === undefined ? usual : { fast: fastRetry, slow: slowRetry }[shape.policy];
  return {
    initialMs: shape.initial ?? base.initialMs,
    multiplier: shape.multiplier ?? base.multiplier,
    maxMs: shape.max ?? base.maxMs,
    jitter: shape.jitter ?? base.jitter,
    maxRetries: shape.max_retries ?? base.maxRetries,
    on: shape.on ?? base.on,
  };
}

function buildSchedule(shape: ScheduleShape, pipeline: PipelineShape, calendars: Calendars): ScheduleDefinition {
  const catchup = typeof shape.catchup === 'string' ? { policy: shape.catchup } : (shape.catchup ?? {});
  const calendar =
    typeof shape.calendar === 'string' ? calendars[shape.calendar] : shape.calendar && buildCalendar(shape.calendar);
  const dst = shape.dst && withoutUndefined(shape.dst);
  const sla = shape.sla ?? pipeline.sla;
  return {
    id: `${pipeline.id}.${shape.id}`,
    name: shape.id,
    tenant: pipeline.tenant,
    pipeline: pipeline.id,
    ...(shape.description === undefined ? {} : { description: shape.description }),
    enabled: shape.enabled,
    cron: shape.cron,
    timezone: shape.timezone,
    ...(dst ? { dst } : {}),
    overlap: shape.overlap,
    catchup: {
      policy: catchup.policy ?? scheduleDefaults.catchup.policy,
      windowMs: catchup.window ?? scheduleDefaults.catchup.windowMs,
      max: catchup.max ?? scheduleDefaults.catchup.max,
    },
    graceMs: shape.grace,
    jitterMs: shape.jitter,
    ...(calendar ? { calendar } : {}),
    ...(shape.inputs ? { inputs: shape.inputs } : {}),
    ...(shape.priority === undefined ? {} : { priority: shape.priority }),
    ...(sla === undefined ? {} : { sla: buildSla(sla) }),
  };
}

function buildSla({ start_within, complete_within }: SlaShape): Sla {
  return withoutUndefined({ startWithinMs: start_within, completeWithinMs: complete_within });
}

function buildSensor(shape: SensorShape, pipeline: PipelineShape): SensorDefinition {
  return {
    id: `${pipeline.id}.${shape.id}`,
    name: shape.id,
    tenant: pipeline.tenant,
    pipeline: pipeline.id,
    ...(shape.description === undefined ? {} : { description: shape.description }),
    enabled: shape.enabled,
    uses: shape.uses,
    with: shape.with,
    everyMs: shape.every,
    timeoutMs: shape.timeout,
    ...(shape.first === undefined ? {} : { first: shape.first }),
    maxRunsPerCheck: shape.max_runs_per_check,
    inputs: shape.inputs,
    ...(shape.priority === undefined ? {} : { priority: shape.priority }),
  };
}

const weekdayNumbers: Readonly<Record<string, number>> = { sun: 0, mon: 1, tue: 2, wed: 3, thu: 4, fri: 5, sat: 6 };

/** A calendar as written → as schedules use it; weekday 7 is 0. */
export function buildCalendar(shape: CalendarShape): ScheduleCalendar {
  const weekdays = (list: readonly (string | number)[]) =>
    list.map((day) => (typeof day === 'number' ? day % 7 : (weekdayNumbers[day] ?? 0)));
  return {
    ...(shape.include_dates ? { includeDates: shape.include_dates } : {}),
    ...(shape.exclude_dates ? { excludeDates: shape.exclude_dates } : {}),
    ...(shape.include_weekdays ? { includeWeekdays: weekdays(shape.include_weekdays) } : {}),
    ...(shape.exclude_weekdays ? { excludeWeekdays: weekdays(shape.exclude_weekdays) } : {}),
  };
}

type Defined<Shape> = { [Key in keyof Shape]?: Exclude<Shape[Key], undefined> };

function withoutUndefined<Shape extends object>(value: Shape): Defined<Shape> {
  return Object.fromEntries(Object.entries(value).filter(([, part]) => part !== undefined)) as Defined<Shape>;
}
