// Every default of settings and pipelines, each with its unit and the reason for its value.
import { fastRetry, slowRetry } from '../domain/retry-policy.ts';
import { scheduleDefaults } from '../domain/schedule.ts';

/** A default as people read it: durations are written with their unit. */
export interface Default<Value> {
  readonly value: Value;
  readonly unit: string;
  readonly reason: string;
}

function define<const Value>(value: Value, unit: string, reason: string): Default<Value> {
  return { value, unit, reason };
}

/** Of settings and pipelines alike. */
export const budgetDefaults = {
  on_exceeded: define('fail', 'fail | wait', 'nobody may be there to ask, and a budget is meant to hold'),
} as const;

/** Settings (`cronwright.yaml`), by key path. */
export const settingDefaults = {
  host: define('127.0.0.1', 'address', 'loopback only: nobody else reaches a daemon without a token'),
  port: define(8080, 'TCP port', 'free for users without privileges; 0 picks a free one'),
  data_dir: define(
    './data',
    'path, from the working directory',
    'the embedded database, workspaces and large artifacts',
  ),
  workers: define(4, 'heavy runs at once', 'a step that spawns processes uses about one core'),
  in_flight: define(500, 'light runs at once', 'waiting for a network costs memory only'),
  'limits.live_runs_per_tenant': define(
    100_000,
    'runs',
    'above this a caller is told 429 instead of a queue that never empties',
  ),
  'limits.logs_per_run': define(10_485_760, 'bytes', 'a step that prints in a loop must not fill the database'),
  'tenants.NAME.weight': define(1, 'share', 'tenants are equal unless somebody says otherwise'),
  'budgets.NAME.on_exceeded': budgetDefaults.on_exceeded,
  'retention.history': define('90d', 'duration', 'a quarter can be looked at whole'),
  'retention.keep_last': define(100, 'runs a pipeline', 'rare pipelines keep a past however old it is'),
  'retention.logs': define('30d', 'duration', 'logs are the largest part of the history'),
  'retention.occurrences': define('90d', 'duration', 'then they are kept as daily counts'),
  'retention.costs': define('400d', 'duration', 'a month can be compared with that of the year before'),
  'timing.lease': define('30s', 'duration', 'outlasts a pause of the process; a dead node costs no more than this'),
  'timing.heartbeat': define('5s', 'duration', 'six tries within a lease; also how soon a cancel is seen'),
  'timing.poll': define('1s', 'duration', 'wake-ups make it faster; polling alone must do'),
  'timing.drain': define('30s', 'duration', 'what container platforms allow between TERM and KILL'),
  'timing.rescue': define('5s', 'duration', 'how often dead leases are looked for'),
  'timing.prune': define('10m', 'duration', 'small deletions often, instead of large ones at night'),
  'timing.stuck': define('10m', 'duration', 'no progress for this long is an alert'),
  'tracing.sample': define(1, 'share of runs', 'whoever sets an endpoint wants to see every run'),
  'llm.providers.NAME.base_url': define('https://api.openai.com/v1', 'URL', 'the API that all the others imitate'),
  'llm.providers.NAME.max_tokens': define(4_096, 'tokens', 'bounds what one answer can cost; longer texts say so'),
  'llm.providers.NAME.timeout': define('2m', 'duration', 'a long answer takes a minute; a hung call must not cost ten'),
  'llm.providers.NAME.stream': define(true, 'true | false', 'a long answer shows that it comes'),
  'llm.providers.NAME.json': define('schema', 'schema | object | text', 'the only one that providers themselves keep'),
  'llm.keep_answers': define('7d', 'duration', 'as results of steps; what is asked of models goes out of date'),
  'llm.estimate_per_item': define(0.05, 'US dollars an item', 'a page of text from a large model'),
  'log.level': define(
    'info',
    'level',
    'one line a change of a run; debug adds one an attempt of a step and one an HTTP answer',
  ),
} as const;

/** Pipelines (`pipelines/*.yaml`), by key path; those of schedules and retries live with their shapes in `domain/`. */
export const pipelineDefaults = {
  tenant: define('default', 'id', 'most installations have one owner'),
  priority: define(5, '1 (first) … 10', 'the middle, so that others can go before and after'),
  queue: define('default', 'id', 'every node serves it'),
  timeout: define('1h', 'duration', 'from the first claim; longer work says so'),
  'budget.on_exceeded': budgetDefaults.on_exceeded,
  on_interrupted: define('retry', 'retry | wait_manual | fail', 'steps run at least once and have an idempotency key'),
  'steps.timeout': define('10m', 'duration, one attempt', 'a hung connection must not hold a worker'),
  'timeout.min': define(
    '10s',
    'duration',
    'with `auto`, also of steps: a busy minute must not fail what is quick otherwise',
  ),
  'timeout.max': define(
    '24h',
    'duration',
    'with `auto`, also of steps: one endless attempt must not stretch all later ones',
  ),
  'steps.compensate.timeout': define('10m', 'duration, one try', 'as a step: what hangs must not hold up the rollback'),
  'steps.cache.ttl': define('7d', 'duration', 'a key seldom holds all that a result depends on'),
  'steps.cache.scope': define(
    'pipeline',
    'pipeline | tenant',
    'another pipeline may mean something else by the same key',
  ),
  'steps.limits.memory': define(
    '1GB',
    'size',
    'half of it for the heap of Node; a step that analyses code needs a few hundred MB',
  ),
  'steps.limits.output': define('256MB', 'size', 'steps in a process; a loop that prints must not keep the node busy'),
  'steps.continue_on_error': define(false, 'true | false', 'an error nobody asked to ignore fails the run'),
  'steps.on_error.NAME.ai_fix.max': define(3, 'repairs a step', 'what three repairs did not cure is for people'),
  'steps.max_parallel': define(4, 'items at once', 'as many as a node has workers'),
  'steps.on_item_error': define(
    'continue',
    'continue | fail',
    'one bad item of a thousand is no reason to lose the others',
  ),
  'steps.retry.policy': define('fast', 'fast | slow', `fast: ${describeRetry(fastRetry)}`),
  'retry.policy': define(
    'slow',
    'fast | slow',
    `slow: ${describeRetry(slowRetry)}; without \`retry\` a run is not retried`,
  ),
  'schedules.timezone': define(
    scheduleDefaults.timezone,
    'IANA zone',
    'the only zone in which no time is lost or repeated',
  ),
  'schedules.enabled': define(
    scheduleDefaults.enabled,
    'true | false',
    'a schedule that is written down is meant to run',
  ),
  'schedules.overlap': define(
    scheduleDefaults.overlap,
    'skip | queue | queue_all | cancel_previous | allow',
    'two runs of one schedule rarely agree',
  ),
  'schedules.catchup.policy': define(
    scheduleDefaults.catchup.policy,
    'none | last | all',
    'one late run says that work was missed, without a flood',
  ),
  'schedules.catchup.window': define('24h', 'duration', "yesterday's work is usually stale"),
  'schedules.catchup.max': define(scheduleDefaults.catchup.max, 'runs', 'the newest are kept'),
  'schedules.grace': define('60s', 'duration', 'the granularity of cron'),
  'schedules.jitter': define('0s', 'duration', 'on time unless said otherwise'),
  'sensors.every': define('1m', 'duration', 'soon enough for people, seldom enough for those who are asked'),
  'sensors.timeout': define('60s', 'duration, one look', 'a hung connection must not keep a sensor from looking again'),
  'sensors.enabled': define(true, 'true | false', 'a sensor that is written down is meant to look'),
  'sensors.max_runs_per_check': define(100, 'runs', 'a surprise must not flood the queue; the rest follows at once'),
} as const;

/** Bounds on what a configuration file may be; above them it is refused before it is read further. */
export const fileLimits = {
  bytes: define(1_048_576, 'bytes a file', 'larger files are generated, or an attack'),
  aliases: define(100, 'aliases a document', 'aliases of aliases grow without bound'),
  depth: define(40, 'levels', 'deeper than any pipeline people write'),
} as const;

function describeRetry(policy: typeof fastRetry): string {
  const jitter = policy.jitter === 0 ? 'no jitter' : `jitter ${policy.jitter * 100} %`;
  return `${policy.initialMs / 1000} s, ×${policy.multiplier}, at most ${policy.maxMs / 1000} s, ${jitter}, ${policy.maxRetries} retries`;
}
