// What may stand in cronwright.yaml: the schema that makes the types, the checks and the JSON Schema for editors.
import { z } from 'zod';
import { tenantBudgetSchema } from './budget-schema.ts';
import { settingDefaults as defaults } from './defaults.ts';
import { llmSchema } from './llm-schema.ts';
import { calendarSchema } from './pipeline-schema.ts';
import { duration, hyphenId, says, text } from './schema-parts.ts';
import { isHttpUrl } from './tracing-settings.ts';

const environmentName = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, says('not a name for an environment variable', 'letters, digits and _'));

/** Names of secrets and connections. */
const itemName = z.string().regex(/^[A-Za-z_][A-Za-z0-9_-]*$/, says('not a name', 'letters, digits, _ and -'));

const secretSource = z
  .strictObject({
    env: environmentName.optional().describe('Environment variable that holds the value.'),
    file: text.optional().describe('File that holds the value; a line end at its end is dropped.'),
  })
  .refine(
    ({ env, file }) => (env === undefined) !== (file === undefined),
    says('not a place of a secret', 'either env or file'),
  )
  .describe('Where a secret is read from when it is needed (env or file); never its value.');

const connection = z
  .strictObject({
    url: text.optional().describe('Connection URL. Passwords belong into the environment.'),
    env: environmentName.optional().describe('Environment variable that holds the URL.'),
  })
  .refine(({ url, env }) => (url === undefined) !== (env === undefined), says('not a connection', 'either url or env'))
  .describe('A PostgreSQL database that steps may use by name.');

/** `self` is there without being configured, read-only; another database of that name would never be asked. */
const connectionName = itemName.regex(/^(?!self$)/, "self is Cronwright's own database; choose another name");

const databaseUrl = z
  .string()
  .regex(/^postgres(ql)?:\/\/./, says('not a database URL', 'postgres://user:password@host:5432/name'));

const httpUrl = z.string().refine(isHttpUrl, says('not an HTTP URL', 'http://host:4318'));

const notification = z
  .strictObject({
    uses: text.min(1).describe('Step type that sends it: notify.webhook, notify.email or one of a plugin.'),
    with: z
      .record(z.string(), z.unknown())
      .prefault({})
      .describe('Its input. Expressions see `run` and `secrets` (docs/NOTIFICATIONS.md).'),
  })
  .describe('A notification.');

/** An id, or `*` for all that are not named. */
const idOrAny = z
  .string()
  .max(64)
  .regex(/^(\*|[a-z][a-z0-9_-]*)$/, says('not an id', '* or a small letter, then small letters, digits, _ and -'));

const slotCount = z.int().min(1).max(10_000);

const tenantLimits = z
  .strictObject({
    concurrency: slotCount.optional().describe('Runs of the tenant at once, on all nodes together.'),
    weight: z
      .int()
      .min(1)
      .max(100)
      .prefault(defaults['tenants.NAME.weight'].value)
      .describe('Its share of a queue beside other tenants that wait there, too.'),
    live_runs: z.int().min(1).optional().describe('Instead of limits.live_runs_per_tenant.'),
  })
  .describe('What one tenant may take (docs/LIMITS.md).');

const queueLimits = z
  .strictObject({
    concurrency: slotCount.optional().describe('Runs of the queue at once, of all tenants and nodes together.'),
    aging: duration
      .optional()
      .describe('A run that has waited for so long goes up by one priority, and again after as long. Default: never.'),
  })
  .describe('What one queue may take (docs/LIMITS.md).');

export const settingsSchema = z
  .strictObject({
    host: text.min(1).prefault(defaults.host.value).describe('Address to listen on.'),
    port: z.int().min(0).max(65_535).prefault(defaults.port.value).describe('TCP port; 0 picks a free one.'),
    data_dir: text.min(1).prefault(defaults.data_dir.value).describe('Directory for everything that is kept in files.'),
    database_url: databaseUrl
      .optional()
      .describe('PostgreSQL or CockroachDB; without it the embedded database is used.'),
    workers: z
      .int()
      .min(0)
      .max(1_000)
      .prefault(defaults.workers.value)
      .describe('Heavy runs at once; 0: none are taken.'),
    in_flight: z.int().min(0).max(100_000).prefault(defaults.in_flight.value).describe('Light runs at once.'),
    queues: z.array(hyphenId).min(1).optional().describe('Queues this node serves; without it all.'),
    labels: z
      .array(hyphenId)
      .max(50)
      .prefault([])
      .describe('What this node has to offer: it alone takes runs of pipelines whose `runs_on` asks for it.'),
    plugins: z
      .array(text.min(1))
      .prefault([])
      .describe('Plugins besides the built-in ones: paths (./x) or package names.'),
    secrets: z
      .record(itemName, secretSource)
      .prefault({})
      .describe('A name that is not listed is looked up as CRONWRIGHT_SECRET_NAME.'),
    connections: z
      .record(connectionName, connection)
      .prefault({})
      .describe("Databases that steps may use by name. `self` is Cronwright's own, read-only, and needs no entry."),
    calendars: z.record(hyphenId, calendarSchema).prefault({}).describe('Named calendars that schedules may refer to.'),
    http: z
      .strictObject({
        allow_private_hosts: z
          .array(text.min(1))
          .prefault([])
          .describe('Hosts (name, name:port, CIDR) that steps may reach although their addresses are private.'),
      })
      .prefault({})
      .describe('Which addresses HTTP calls of steps may reach.'),
    on_failure: z
      .array(notification)
      .max(20)
      .prefault([])
      .describe(
        'Sent whenever a run of any pipeline ends as failed or dead letter, through the outbox, until delivered.',
      ),
    artifacts: z
      .strictObject({
        path: text
          .min(1)
          .optional()
          .describe(
            'Folder for artifacts above 8 MB; all nodes have to share it. Default: `artifacts` in data_dir with the embedded database; with a server such artifacts are refused.',
          ),
      })
      .prefault({})
      .describe('Where large artifacts are kept.'),
    tracing: z
      .strictObject({
        endpoint: httpUrl
          .optional()
          .describe(
            "Where spans go, OTLP over HTTP: the collector's base URL (`/v1/traces` is added). Without it none are made.",
          ),
        sample: z
          .number()
          .min(0)
          .max(1)
          .prefault(defaults['tracing.sample'].value)
          .describe('Share of runs traced, 0…1.'),
      })
      .prefault({})
      .describe('Spans of runs, steps and requests (docs/TRACING.md).'),
    llm: llmSchema,
    limits: z
      .strictObject({
        live_runs_per_tenant: z
          .int()
          .min(1)
          .prefault(defaults['limits.live_runs_per_tenant'].value)
          .describe('Runs of a tenant that have not ended; more are refused.'),
        logs_per_run: z.int().min(1_024).prefault(defaults['limits.logs_per_run'].value).describe('Bytes.'),
      })
      .prefault({})
      .describe('Bounds on what tenants and runs may take.'),
    tenants: z
      .record(idOrAny, tenantLimits)
      .prefault({})
      .describe('By tenant; `*` for those that are not named. Changes hold after a reload.'),
    budgets: z
      .record(idOrAny, tenantBudgetSchema)
      .prefault({})
      .describe('By tenant; `*` for each of those that are not named. Changes hold after a reload.'),
    queue_limits: z
      .record(idOrAny, queueLimits)
      .prefault({})
      .describe('By queue; `*` for those that are not named. Changes hold after a reload.'),
    retention: z
      .strictObject({
        history: duration.prefault(defaults['retention.history'].value).describe('Runs and their history.'),
        keep_last: z
          .int()
          .min(0)
          .prefault(defaults['retention.keep_last'].value)
          .describe('Runs of a pipeline kept in any case.'),
        logs: duration
          .prefault(defaults['retention.logs'].value)
          .describe('Logs of runs, and workspaces that runs left behind.'),
        occurrences: duration.prefault(defaults['retention.occurrences'].value).describe('Then daily counts.'),
        costs: duration
          .prefault(defaults['retention.costs'].value)
          .describe('What runs have spent, also of runs that are gone.'),
      })
      .prefault({})
      .describe('How long what has ended is kept.'),
    timing: z
      .strictObject({
        lease: duration
          .prefault(defaults['timing.lease'].value)
          .describe('Right of a worker to a run between heartbeats.'),
        heartbeat: duration
          .prefault(defaults['timing.heartbeat'].value)
          .describe('How often a node renews its leases and says that it lives.'),
        poll: duration
          .prefault(defaults['timing.poll'].value)
          .describe('Longest wait before the queue is looked at again.'),
        drain: duration.prefault(defaults['timing.drain'].value).describe('What runs may finish after TERM.'),
        rescue: duration
          .prefault(defaults['timing.rescue'].value)
          .describe('Between two looks for runs whose node died.'),
        prune: duration
          .prefault(defaults['timing.prune'].value)
          .describe('Between two deletions of what `retention` lets go.'),
        stuck: duration
          .prefault(defaults['timing.stuck'].value)
          .describe('A step without progress for this long is told of as `run.stuck`.'),
      })
      .prefault({})
      .describe('How often and how long; the defaults suit most installations.'),
    log: z
      .strictObject({
        level: z
          .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'])
          .prefault(defaults['log.level'].value)
          .describe('The least level that is written.'),
      })
      .prefault({})
      .describe('The log on stdout.'),
  })
  .describe('Settings of a Cronwright daemon.');

export type SettingsShape = z.output<typeof settingsSchema>;
