// What may stand in a pipeline file: the schema that makes the types, the checks and the JSON Schema for editors.
import { z } from 'zod';
import { pipelineBudgetSchema } from './budget-schema.ts';
import { pipelineDefaults as defaults } from './defaults.ts';
import { duration, hyphenId, nameId, says, text } from './schema-parts.ts';
import { cacheSchema, limitsSchema, timeoutSchema } from './step-option-schemas.ts';

const priority = z.int().min(1).max(10);

const json = z.unknown();

export const inputSchema = z
  .strictObject({
    type: z.enum(['string', 'integer', 'number', 'boolean', 'array', 'object']).describe('Type of the value.'),
    description: text.optional(),
    default: json.optional().describe('Used where a run does not give the input; has to be of the type.'),
    required: z
      .boolean()
      .default(false)
      .describe('A run without this input is refused. Without a default and not required, the value is null.'),
    enum: z.array(json).min(1).optional().describe('The only values allowed.'),
  })
  .describe('An input of the pipeline: `inputs.NAME` in expressions.');

export const retrySchema = z
  .strictObject({
    policy: z.enum(['fast', 'slow']).optional().describe('Where the other figures come from unless they are given.'),
    max_retries: z.int().min(0).max(100).optional().describe('Retries after the first attempt.'),
    initial: duration.optional().describe('Delay before the first retry.'),
    multiplier: z.number().min(1).max(100).optional().describe('Growth of the delay from retry to retry.'),
    max: duration.optional().describe('Longest delay, before jitter.'),
    jitter: z.number().min(0).max(1).optional().describe('Share of the delay that is added at random, 0…1.'),
    on: z
      .array(z.string().min(1))
      .optional()
      .describe('Error classes (transient, rate_limited, item) and error names (TimeoutError) that are retried.'),
  })
  .describe('delay(n) = min(max, initial · multiplier^(n-1)) · (1 + random · jitter).');

const day = z.string().regex(/^\d{4}-\d{2}-\d{2}$/, says('not a date', 'YYYY-MM-DD, in quotes'));
const weekday = z.union([z.enum(['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat']), z.int().min(0).max(7)]);

export const calendarSchema = z
  .strictObject({
    include_dates: z.array(day).optional().describe('Dates that fire whatever the weekday lists say.'),
    exclude_dates: z.array(day).optional().describe('Dates that never fire.'),
    include_weekdays: z.array(weekday).optional().describe('Where given, only these weekdays fire.'),
    exclude_weekdays: z.array(weekday).optional().describe('These weekdays do not fire.'),
  })
  .describe('Days on which a schedule fires, by the local date in its zone.');

const slaSchema = z
  .strictObject({
    start_within: duration.optional().describe('From the nominal time until it has to have started.'),
    complete_within: duration.optional().describe('From the nominal time until it has to be completed.'),
  })
  .refine((sla) => sla.start_within !== undefined || sla.complete_within !== undefined, {
    message: says('promises nothing', 'start_within, complete_within or both'),
  })
  .refine((sla) => (sla.start_within ?? 0) <= (sla.complete_within ?? Number.POSITIVE_INFINITY), {
    path: ['start_within'],
    message: says('later than complete_within', 'at most complete_within'),
  })
  .describe('What is promised about time; a miss is told once, and ends nothing.');

const catchupPolicy = z.enum(['none', 'last', 'all']);

export const scheduleSchema = z
  .strictObject({
    id: hyphenId.describe('Id within the pipeline; the full id is `pipeline.schedule`.'),
    description: text.optional(),
    cron: text.describe('Five fields, or six with leading seconds; names, L, nW, d#n, H, @daily, @every 90s.'),
    timezone: text.default(defaults['schedules.timezone'].value).describe('IANA name of the zone whose clock counts.'),
    dst: z
      .strictObject({
        gap: z.enum(['next', 'skip']).optional().describe('A time that does not exist.'),
        overlap: z.enum(['first', 'last', 'both']).optional().describe('A time that occurs twice.'),
      })
      .optional()
      .describe('How fire times meet a change of the clock.'),
    overlap: z
      .enum(['skip', 'queue', 'queue_all', 'cancel_previous', 'allow'])
      .default(defaults['schedules.overlap'].value)
      .describe('What happens while a run of this schedule is still live.'),
    catchup: z
      .union([
        catchupPolicy,
        z.strictObject({
          policy: catchupPolicy.optional(),
          window: duration.optional().describe('Missed times older than this are only counted.'),
          max: z.int().min(1).max(10_000).optional().describe('With `all`: at most this many runs, the newest kept.'),
        }),
      ])
      .optional()
      .describe('What is made up for after missed times.'),
    grace: duration
      .prefault(defaults['schedules.grace'].value)
      .describe('How late a fire may be before it counts as missed.'),
    jitter: duration
      .prefault(defaults['schedules.jitter'].value)
      .describe('Fires are delayed by a stable offset below this.'),
    calendar: z
      .union([text, calendarSchema])
      .optional()
      .describe('Days, or the name of a calendar in cronwright.yaml.'),
    enabled: z.boolean().default(defaults['schedules.enabled'].value),
    inputs: z.record(z.string(), json).optional().describe('Inputs of the runs; plain values.'),
    priority: priority.optional().describe('Priority of the runs: 1 (first) … 10.'),
    sla: slaSchema.optional(),
  })
  .describe('When the pipeline runs.');

export const sensorSchema = z
  .strictObject({
    id: hyphenId.describe('Id within the pipeline; the full id is `pipeline.sensor`.'),
    description: text.optional(),
    uses: text.describe('Sensor type: `plugin.sensor`.'),
    with: z
      .record(z.string(), json)
      .default({})
      .describe('What the sensor is given; `secrets`, `env` and `tenant` are names in its expressions.'),
    every: duration
      .refine((ms) => ms >= 1_000, says('too often', 'at least 1s'))
      .prefault(defaults['sensors.every'].value)
      .describe('From the end of one look to the next.'),
    timeout: duration
      .refine((ms) => ms >= 100 && ms <= 3_600_000, says('not a time for a look', '100ms to 1h'))
      .prefault(defaults['sensors.timeout'].value)
      .describe('For one look.'),
    first: z
      .enum(['run', 'skip'])
      .optional()
      .describe('Whether what is there at the first look starts runs. Default: what the sensor type says.'),
    inputs: z
      .record(z.string(), json)
      .default({})
      .describe('Inputs of the runs; `sensor.key` and `sensor.data` are names in its expressions.'),
    priority: priority.optional().describe('Priority of the runs: 1 (first) … 10.'),
    enabled: z.boolean().default(defaults['sensors.enabled'].value),
    max_runs_per_check: z
      .int()
      .min(1)
      .max(1_000)
      .default(defaults['sensors.max_runs_per_check'].value)
      .describe('Runs that one look starts at most; the rest is left to the next look.'),
  })
  .describe('What is looked at: each new thing it finds starts one run.');

const env = z
  .record(
    z
      .string()
      .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, says('not a name for an environment variable', 'letters, digits and _')),
    text,
  )
  .describe('Environment of steps: `env.NAME` in expressions. Values are text.');

const onExhausted = z.enum(['fail', 'dead_letter', 'wait_manual']);

const errorRule = z
  .strictObject({
    choose: z
      .array(z.enum(['manual_edit', 'ai_fix']))
      .min(1)
      .describe('What people choose from; `[ai_fix]` alone repairs without asking.'),
    timeout: duration.optional().describe('How long it waits for the choice; then the step fails. Default: for ever.'),
    ai_fix: z
      .strictObject({
        uses: text.describe('Step type that repairs: fields of its output replace those of the input by name.'),
        with: z
          .record(z.string(), json)
          .default({})
          .describe('What it is given; `error` and `input` are names in its expressions.'),
        max: z
          .int()
          .min(1)
          .max(100)
          .default(defaults['steps.on_error.NAME.ai_fix.max'].value)
          .describe('Repairs of one step; then people are asked.'),
      })
      .optional(),
  })
  .describe('What happens after an error of this name, once no retry is left.');

export const stepSchema = z
  .strictObject({
    id: nameId.describe('Name of the step in `needs` and expressions.'),
    label: text.optional().describe('Shown to people while the step runs.'),
    uses: text.describe('Step type: `plugin.step`.'),
    with: z.record(z.string(), json).default({}).describe('What the step is given; texts may hold expressions.'),
    needs: z
      .union([nameId.transform((id) => [id]), z.array(nameId)])
      .optional()
      .describe('Steps that have to be completed first. Without it: the step above. `[]`: none.'),
    if: z.union([text, z.boolean()]).optional().describe('A condition in CEL; where false the step is skipped.'),
    continue_on_error: z.boolean().default(defaults['steps.continue_on_error'].value),
    env: env.default({}),
    foreach: z
      .union([text, z.array(json)])
      .optional()
      .describe('A list, or an expression that gives one: the step runs once per item.'),
    max_parallel: z.int().min(1).max(1_000).optional().describe('With `foreach`: items at once.'),
    on_item_error: z.enum(['continue', 'fail']).optional().describe('With `foreach`: whether other items go on.'),
    distribute: z
      .boolean()
      .optional()
      .describe(
        'With `foreach`: runs of their own carry the items out, so that several nodes share them (at once: 100).',
      ),
    chunk: z
      .int()
      .min(1)
      .max(1_000)
      .optional()
      .describe('With `distribute`: items a run, one after another. Default 1.'),
    queue: hyphenId
      .optional()
      .describe('A run of its own in this queue carries the step out. Default: the run itself.'),
    retry: retrySchema.optional(),
    on_exhausted: onExhausted
      .optional()
      .describe('What happens once the step has failed for good. Without it: what the pipeline says.'),
    on_error: z
      .record(
        z.string().regex(/^[A-Z][A-Za-z0-9_]*$/, says('not an error name', 'a name such as CompileError')),
        errorRule,
      )
      .optional()
      .describe('By the name of an error.'),
    timeout: timeoutSchema(defaults['steps.timeout'].value).describe('For one attempt.'),
    compensate: z
      .union([
        z.literal(false),
        z.strictObject({
          timeout: duration.prefault(defaults['steps.compensate.timeout'].value).describe('For one try.'),
          retry: retrySchema.optional(),
        }),
      ])
      .optional()
      .describe('How the step is undone in a rollback, where its type can be; false: it is not.'),
    cache: cacheSchema.optional(),
    rate_limit_key: text
      .max(500)
      .optional()
      .describe(
        'Steps with the same key wait together where one is told that it calls too often; may hold expressions. Empty: with nobody. Default: what the step type says (http.request: the host).',
      ),
    limits: limitsSchema.optional(),
    progress: z.number().min(0).max(100).optional().describe('Progress of the run once this step has completed.'),
  })
  .describe('One step of the pipeline.');

const afterSchema = z
  .strictObject({
    pipeline: hyphenId.describe('A pipeline of the same tenant.'),
    within: duration.describe("It has to have completed at most so long before the run's nominal time, or since."),
    when: z
      .enum(['schedule', 'always'])
      .optional()
      .describe('Which runs wait: those of schedules and backfills (default), or those that people start, too.'),
    on_missing: z
      .enum(['wait', 'fail', 'run'])
      .optional()
      .describe("Once `within` has passed since the run's nominal time without it: wait on (default), fail, or run."),
  })
  .describe('Runs start only after another pipeline has completed.');

export const pipelineSchema = z
  .strictObject({
    id: hyphenId.describe('Id of the pipeline, unique within its tenant.'),
    description: text.optional(),
    tenant: hyphenId.default(defaults.tenant.value).describe('Who owns it.'),
    inputs: z.record(nameId, inputSchema).default({}),
    schedules: z.array(scheduleSchema).default([]),
    sensors: z.array(sensorSchema).max(100).default([]),
    priority: priority.default(defaults.priority.value).describe('1 (first) … 10.'),
    queue: hyphenId.default(defaults.queue.value),
    runs_on: z
      .union([hyphenId.transform((label) => [label]), z.array(hyphenId).min(1).max(20)])
      .optional()
      .describe('Labels of which a node has to have all to take the runs. Without it: any node that serves the queue.'),
    timeout: timeoutSchema(defaults.timeout.value).describe('For a run, from its first claim.'),
    concurrency: z
      .strictObject({
        limit: z.int().min(1).max(10_000).describe('Runs at once.'),
        group: hyphenId.optional().describe('Pipelines with the same group share the limit.'),
      })
      .optional(),
    budget: pipelineBudgetSchema.optional(),
    retry: retrySchema.optional().describe('Retry of the whole run from its failed step; without it there is none.'),
    on_interrupted: z
      .enum(['retry', 'wait_manual', 'fail'])
      .default(defaults.on_interrupted.value)
      .describe('What happens to a run whose node died within a step.'),
    on_exhausted: onExhausted
      .optional()
      .describe('For steps that do not say it themselves, and whose failure nothing tolerates. Default: fail.'),
    after: z.union([afterSchema, z.array(afterSchema).min(1).max(20)]).optional(),
    sla: slaSchema.optional(),
    env: env.default({}),
    steps: z.array(stepSchema).min(1, says('a pipeline needs steps', 'at least one step')).max(1_000),
    finally: z.array(stepSchema).max(100).default([]).describe('Steps run at the end whatever happened, in order.'),
    on_failure: z
      .array(stepSchema)
      .max(100)
      .default([])
      .describe('Steps run only when the run failed, before `finally`.'),
  })
  .describe('A Cronwright pipeline.');

export type PipelineShape = z.output<typeof pipelineSchema>;
export type StepShape = z.output<typeof stepSchema>;
export type ScheduleShape = z.output<typeof scheduleSchema>;
export type SensorShape = z.output<typeof sensorSchema>;
export type RetryShape = z.output<typeof retrySchema>;
