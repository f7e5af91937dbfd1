// The settings in effect: flags over environment over cronwright.yaml over defaults, each value with its source.
import { existsSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Budgets } from '../domain/budget.ts';
import { CronwrightError, type Problem } from '../domain/errors.ts';
import type { ScheduleCalendar } from '../domain/schedule.ts';
import type { SharedLimits } from '../domain/shared-limits.ts';
import { buildBudgets } from './budget-schema.ts';
import { buildCalendar } from './build-pipeline.ts';
import { settingsJsonSchema } from './json-schema.ts';
import { formatKeyPath } from './key-path.ts';
import { type LlmSettings, llmProblems, llmSettings } from './llm-settings.ts';
import { type SettingsShape, settingsSchema } from './settings-schema.ts';
import { type TracingSettings, tracingSettings } from './tracing-settings.ts';
import { readYaml, type YamlDocument } from './yaml-source.ts';
import { zodProblems } from './zod-problems.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** What the command line may set; texts as they were typed. */
export interface SettingFlags {
  config?: string | undefined;
  port?: string | number | undefined;
  host?: string | undefined;
  dataDir?: string | undefined;
  databaseUrl?: string | undefined;
  workers?: string | number | undefined;
  inFlight?: string | number | undefined;
  token?: string | undefined;
}

export type SettingSource = 'flag' | 'environment' | 'file' | 'default';

export type SecretSource = { env: string } | { file: string };

export interface Settings {
  /** Absolute path of the directory with cronwright.yaml and pipelines/. */
  configDir: string;
  host: string;
  /** 0: any free port. */
  port: number;
  /** Absolute path. */
  dataDir: string;
  /** Absent: the embedded database in `dataDir`. Holds a password: show `describeSettings` instead. */
  databaseUrl?: string;
  /** Bearer token of the API; only from flag or environment. */
  token?: string;
  /** Heavy runs at once. */
  workers: number;
  /** Light runs at once. */
  inFlight: number;
  /** Absent: all queues. */
  queues?: readonly string[];
  /** Offered to runs whose pipelines ask for them. */
  labels: readonly string[];
  /** Absolute paths, and package names. */
  plugins: readonly string[];
  /** Files as absolute paths. */
  secrets: Readonly<Record<string, SecretSource>>;
  connections: Readonly<Record<string, { url: string } | { env: string }>>;
  calendars: Readonly<Record<string, ScheduleCalendar>>;
  http: { allowPrivateHosts: readonly string[] };
  /** Absolute path of the folder for artifacts above 8 MB; absent: they are refused. */
  artifactsDir?: string;
  /** What is sent when a run fails; `with` may hold expressions. */
  onFailure: readonly { uses: string; with: Readonly<Record<string, unknown>> }[];
  tracing: TracingSettings;
  llm: LlmSettings;
  limits: { liveRunsPerTenant: number; logBytesPerRun: number };
  /** Of tenants and queues. */
  sharedLimits: SharedLimits;
  /** What tenants may spend. */
  budgets: Budgets;
  retention: { historyMs: number; keepLast: number; logsMs: number; occurrencesMs: number; costsMs: number };
  timing: {
    leaseMs: number;
    heartbeatMs: number;
    pollMs: number;
    drainMs: number;
    rescueMs: number;
    pruneMs: number;
    stuckMs: number;
  };
  log: { level: SettingsShape['log']['level'] };
  /** Where the value at a key path (`timing.lease`) comes from; a path that is not listed is a default. */
  sources: Readonly<Record<string, SettingSource>>;
}

export interface LoadSettingsOptions {
  /** Overrides flag, environment and default. */
  configDir?: string | undefined;
  env: Environment;
  flags?: SettingFlags | undefined;
  /** What relative paths are relative to. Default: the directory the process runs in. */
  workingDir?: string | undefined;
}

/** What flag and environment can set. The token is no part of the file, so that it is never committed. */
export const settingOverrides = [
  { key: 'host', flag: 'host', flagName: '--host', variable: 'CRONWRIGHT_HOST', kind: 'text' },
  { key: 'port', flag: 'port', flagName: '--port', variable: 'CRONWRIGHT_PORT', kind: 'number' },
  { key: 'data_dir', flag: 'dataDir', flagName: '--data-dir', variable: 'CRONWRIGHT_DATA_DIR', kind: 'text' },
  { key: 'database_url', flag: 'databaseUrl', flagName: '--database-url', variable: 'DATABASE_URL', kind: 'text' },
  { key: 'workers', flag: 'workers', flagName: '--workers', variable: 'CRONWRIGHT_WORKERS', kind: 'number' },
  { key: 'in_flight', flag: 'inFlight', flagName: '--in-flight', variable: 'CRONWRIGHT_IN_FLIGHT', kind: 'number' },
] as const;

/** The configuration directory that flag, environment or default name; absolute. */
export function findConfigDir(
  options: Pick<LoadSettingsOptions, 'env' | 'flags' | 'workingDir' | 'configDir'>,
): string {
  const named = options.configDir ?? options.flags?.config ?? nonEmpty(options.env.CRONWRIGHT_CONFIG) ?? './config';
  return resolve(options.workingDir ?? '.', named);
}

/**
 * Reads the settings. A missing cronwright.yaml means defaults.
 * @throws CronwrightError `invalid_config` with every problem; also where the configuration directory does not exist.
 */
export async function loadSettings(options: LoadSettingsOptions): Promise<Settings> {
  const configDir = findConfigDir(options);
  if (!existsSync(configDir) || !statSync(configDir).isDirectory()) {
    throw new CronwrightError('invalid_config', `the configuration directory ${configDir} does not exist`, {
      problems: [
        {
          message: 'the configuration directory does not exist',
          got: configDir,
          expected: 'a directory with cronwright.yaml and pipelines/',
        },
      ],
    });
  }
  const file = await readSettingsFile(configDir);
  const problems: Problem[] = [...file.problems];
  const sources: Record<string, SettingSource> = {};
  listKeys(file.value, '', sources);
  const value = applyOverrides(file.value, options, sources, problems);
  const parsed = settingsSchema.safeParse(value);
  if (!parsed.success) problems.push(...describeProblems(parsed.error, value, file.document, sources));
  if (parsed.success) problems.push(...timingProblems(parsed.data, file.document));
  for (const { keyPath, ...problem } of parsed.success ? llmProblems(parsed.data, options.env) : []) {
    if (keyPath === undefined) problems.push(problem);
    else problems.push({ ...file.document?.placeOf(keyPath), path: formatKeyPath(keyPath), ...problem });
  }
  if (!parsed.success || problems.length > 0) {
    throw new CronwrightError('invalid_config', 'the settings are not valid', { problems });
  }
  return buildSettings(parsed.data, configDir, options, sources);
}

/** cronwright.yaml as it stands, with its places; a missing one is empty. */
export async function readSettingsFile(
  configDir: string,
): Promise<{ value: Record<string, unknown>; document?: YamlDocument; problems: readonly Problem[] }> {
  const file = ['cronwright.yaml', 'cronwright.yml'].find((name) => existsSync(join(configDir, name)));
  if (file === undefined) return { value: {}, problems: [] };
  const { documents, problems } = await readYaml(join(configDir, file), file);
  const [document, second] = documents;
  if (!document) return { value: {}, problems };
  if (second)
    return {
      value: {},
      problems: [...problems, { ...second.placeOf([]), message: 'a second document', expected: 'one document' }],
    };
  if (typeof document.value !== 'object' || document.value === null || Array.isArray(document.value)) {
    return {
      value: {},
      problems: [...problems, { ...document.placeOf([]), message: 'not settings', expected: 'keys and values' }],
    };
  }
  return { value: { ...document.value }, document, problems };
}

function applyOverrides(
  value: Record<string, unknown>,
  options: LoadSettingsOptions,
  sources: Record<string, SettingSource>,
  problems: Problem[],
): Record<string, unknown> {
  const result = { ...value };
  for (const { key, flag, flagName, variable, kind } of settingOverrides) {
    const given = options.flags?.[flag];
    const said = given !== undefined ? given : nonEmpty(options.env[variable]);
    if (said === undefined) continue;
    sources[key] = given !== undefined ? 'flag' : 'environment';
    const asNumber = kind === 'number' && /^\d+$/.test(String(said)) ? Number(said) : undefined;
    if (kind === 'number' && asNumber === undefined) {
      const path = given !== undefined ? flagName : variable;
      problems.push({
        path,
        message: 'the value has the wrong type',
        got: JSON.stringify(said),
        expected: 'a whole number',
      });
      continue;
    }
    result[key] = asNumber ?? said;
  }
  return result;
}

function describeProblems(
  error: Parameters<typeof zodProblems>[0],
  value: unknown,
  document: YamlDocument | undefined,
  sources: Readonly<Record<string, SettingSource>>,
): Problem[] {
  return zodProblems(error, value, settingsJsonSchema()).map(({ path, atKey, ...problem }) => {
    const key = path.join('.');
    const override = settingOverrides.find((one) => one.key === key);
    const source = sources[key];
    // A database URL, a connection or a misplaced secret must not be repeated in a message.
    const { got: _got, ...withoutGot } = problem;
    const shown = /^(database_url|connections|secrets|llm)\b/.test(key) ? withoutGot : problem;
    if (override && source === 'flag') return { path: override.flagName, ...shown };
    if (override && source === 'environment') return { path: override.variable, ...shown };
    const place = document && (atKey ? document.placeOfKey(path) : document.placeOf(path));
    return { ...place, path: formatKeyPath(path), ...shown };
  });
}

/** What waits is looked at a few times within it. */
const shortestAgingMs = 1_000;

function timingProblems(shape: SettingsShape, document: YamlDocument | undefined): Problem[] {
  const problems: Problem[] = [];
  const { lease, heartbeat } = shape.timing;
  for (const name of ['lease', 'heartbeat', 'poll', 'rescue', 'prune', 'stuck'] as const) {
    if (shape.timing[name] > 0) continue;
    const place = document?.placeOf(['timing', name]);
    problems.push({ ...place, path: `timing.${name}`, message: 'the duration is zero', expected: 'more than zero' });
  }
  for (const [name, { aging }] of Object.entries(shape.queue_limits)) {
    if (aging === undefined || aging >= shortestAgingMs) continue;
    const path = ['queue_limits', name, 'aging'];
    problems.push({
      ...document?.placeOf(path),
      path: formatKeyPath(path),
      message: 'the duration is too short',
      got: `${aging} ms`,
      expected: `at least ${shortestAgingMs} ms`,
    });
  }
  if (heartbeat * 3 > lease) {
    const place = document?.placeOf(['timing', 'heartbeat']);
    const message = 'the heartbeat is too slow for the lease';
    problems.push({
      ...place,
      path: 'timing.heartbeat',
      message,
      got: `${heartbeat} ms`,
      expected: `at most a third of the lease: ${Math.floor(lease / 3)} ms`,
    });
  }
  return problems;
}

function buildSettings(
  shape: SettingsShape,
  configDir: string,
  options: LoadSettingsOptions,
  sources: Record<string, SettingSource>,
): Settings {
  const { timing, retention, limits } = shape;
  const token = options.flags?.token ?? nonEmpty(options.env.CRONWRIGHT_TOKEN);
  if (token !== undefined && !/^[\x21-\x7e]+$/.test(token)) throw unusableToken();
  if (options.configDir ?? options.flags?.config) sources.config = 'flag';
  else if (nonEmpty(options.env.CRONWRIGHT_CONFIG)) sources.config = 'environment';
  if (token !== undefined) sources.token = options.flags?.token === undefined ? 'environment' : 'flag';
  const workingDir = options.workingDir ?? '.';
  const secrets = Object.entries(shape.secrets).map(([name, source]) => {
    return [
      name,
      source.file === undefined ? { env: source.env ?? '' } : { file: resolve(configDir, source.file) },
    ] as const;
  });
  const connections = Object.entries(shape.connections).map(([name, source]) => {
    return [name, source.url === undefined ? { env: source.env ?? '' } : { url: source.url }] as const;
  });
  return {
    configDir,
    host: shape.host,
    port: shape.port,
    dataDir: resolve(workingDir, shape.data_dir),
    ...(shape.database_url === undefined ? {} : { databaseUrl: shape.database_url }),
    ...(token === undefined ? {} : { token }),
    workers: shape.workers,
    inFlight: shape.in_flight,
    ...(shape.queues ? { queues: shape.queues } : {}),
    labels: shape.labels,
    plugins: shape.plugins.map((plugin) => (/^(\.{0,2}\/)/.test(plugin) ? resolve(configDir, plugin) : plugin)),
    secrets: Object.fromEntries(secrets),
    connections: Object.fromEntries(connections),
    calendars: Object.fromEntries(Object.entries(shape.calendars).map(([name, days]) => [name, buildCalendar(days)])),
    http: { allowPrivateHosts: shape.http.allow_private_hosts },
    ...artifactsDirOf(shape, workingDir),
    onFailure: shape.on_failure,
    tracing: tracingSettings(shape.tracing, options.env, sources),
    llm: llmSettings(shape, options.env, sources),
    limits: {
      liveRunsPerTenant: limits.live_runs_per_tenant,
      logBytesPerRun: limits.logs_per_run,
    },
    sharedLimits: buildSharedLimits(shape),
    budgets: buildBudgets(shape.budgets),
    retention: {
      historyMs: retention.history,
      keepLast: retention.keep_last,
      logsMs: retention.logs,
      occurrencesMs: retention.occurrences,
      costsMs: retention.costs,
    },
    timing: {
      leaseMs: timing.lease,
      heartbeatMs: timing.heartbeat,
      pollMs: timing.poll,
      drainMs: timing.drain,
      rescueMs: timing.rescue,
      pruneMs: timing.prune,
      stuckMs: timing.stuck,
    },
    log: { level: shape.log.level },
    sources,
  };
}

function buildSharedLimits({ tenants, queue_limits: queues }: SettingsShape): SharedLimits {
  const byName = <From, To>(record: Readonly<Record<string, From>>, build: (one: From) => To) =>
    Object.fromEntries(Object.entries(record).map(([name, one]) => [name, build(one)]));
  return {
    tenants: byName(tenants, ({ concurrency, weight, live_runs: liveRuns }) => ({
      weight,
      ...(concurrency === undefined ? {} : { concurrency }),
      ...(liveRuns === undefined ? {} : { liveRuns }),
    })),
    queues: byName(queues, ({ concurrency, aging: agingMs }) => ({
      ...(concurrency === undefined ? {} : { concurrency }),
      ...(agingMs === undefined ? {} : { agingMs }),
    })),
  };
}

/** The embedded database has one node: its data directory is private to nobody. */
function artifactsDirOf(shape: SettingsShape, workingDir: string): { artifactsDir?: string } {
  if (shape.artifacts.path !== undefined) return { artifactsDir: resolve(workingDir, shape.artifacts.path) };
  return shape.database_url === undefined ? { artifactsDir: resolve(workingDir, shape.data_dir, 'artifacts') } : {};
}

function listKeys(value: unknown, prefix: string, sources: Record<string, SettingSource>): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    if (prefix !== '') sources[prefix] = 'file';
    return;
  }
  for (const [key, part] of Object.entries(value)) listKeys(part, prefix === '' ? key : `${prefix}.${key}`, sources);
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === undefined || text === '' ? undefined : text;
}

/** What cannot stand in an Authorization header would refuse every request. The token itself is not told. */
function unusableToken(): CronwrightError {
  const problem = {
    path: 'token',
    message: 'the token (CRONWRIGHT_TOKEN, --token) cannot be sent in a header',
    got: 'blanks or characters beyond ASCII',
    expected: 'visible ASCII characters',
  };
  return new CronwrightError('invalid_config', `${problem.message}: got ${problem.got}, expected ${problem.expected}`, {
    problems: [problem],
  });
}
