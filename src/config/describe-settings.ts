// The settings in effect for people and for GET /config: every value with its source, secrets masked.
import { maskUrl } from '../base/mask-url.ts';
import type { LlmSettings } from './llm-settings.ts';
import type { SettingSource, Settings } from './load-settings.ts';

export interface DescribedSetting {
  key: string;
  value: unknown;
  source: SettingSource;
}

const mask = '***';

/** Every effective setting by its key path in cronwright.yaml; durations as they may stand in the file. */
export function describeSettings(settings: Settings): DescribedSetting[] {
  const { timing, retention, limits } = settings;
  const values: Record<string, unknown> = {
    config: settings.configDir,
    host: settings.host,
    port: settings.port,
    data_dir: settings.dataDir,
    database_url: settings.databaseUrl === undefined ? null : maskUrl(settings.databaseUrl),
    token: settings.token === undefined ? null : mask,
    workers: settings.workers,
    in_flight: settings.inFlight,
    queues: settings.queues ?? null,
    labels: settings.labels,
    plugins: settings.plugins,
    secrets: settings.secrets,
    connections: Object.fromEntries(
      Object.entries(settings.connections).map(([name, one]) => [name, 'url' in one ? { url: maskUrl(one.url) } : one]),
    ),
    calendars: settings.calendars,
    'http.allow_private_hosts': settings.http.allowPrivateHosts,
    'artifacts.path': settings.artifactsDir ?? null,
    on_failure: settings.onFailure.map(({ uses }) => uses),
    'tracing.endpoint': settings.tracing.endpoint === undefined ? null : maskUrl(settings.tracing.endpoint),
    'tracing.headers': settings.tracing.headers === undefined ? null : mask,
    'tracing.sample': settings.tracing.sample,
    'llm.default': settings.llm.default,
    'llm.providers': describeProviders(settings.llm.providers),
    'llm.keep_answers': milliseconds(settings.llm.keepAnswersMs),
    'llm.estimate_per_item': settings.llm.estimatePerItem,
    'limits.live_runs_per_tenant': limits.liveRunsPerTenant,
    'limits.logs_per_run': limits.logBytesPerRun,
    tenants: settings.sharedLimits.tenants,
    queue_limits: settings.sharedLimits.queues,
    budgets: settings.budgets,
    'retention.history': milliseconds(retention.historyMs),
    'retention.keep_last': retention.keepLast,
    'retention.logs': milliseconds(retention.logsMs),
    'retention.occurrences': milliseconds(retention.occurrencesMs),
    'retention.costs': milliseconds(retention.costsMs),
    'timing.lease': milliseconds(timing.leaseMs),
    'timing.heartbeat': milliseconds(timing.heartbeatMs),
    'timing.poll': milliseconds(timing.pollMs),
    'timing.drain': milliseconds(timing.drainMs),
    'timing.rescue': milliseconds(timing.rescueMs),
    'timing.prune': milliseconds(timing.pruneMs),
    'timing.stuck': milliseconds(timing.stuckMs),
    'log.level': settings.log.level,
  };
  return Object.entries(values).map(([key, value]) => ({ key, value, source: sourceOf(settings, key) }));
}

/** Names of secrets are no secrets; a header's text may be one. */
function describeProviders(providers: LlmSettings['providers']): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(providers).map(([name, { baseUrl, headers, ...rest }]) => {
      const shown = Object.entries(headers).map(([header, value]) => [
        header,
        typeof value === 'string' ? mask : value,
      ]);
      return [
        name,
        { baseUrl: baseUrl === undefined ? null : maskUrl(baseUrl), ...rest, headers: Object.fromEntries(shown) },
      ];
    }),
  );
}

function sourceOf(settings: Settings, key: string): SettingSource {
  const own = settings.sources[key];
  if (own) return own;
  return Object.keys(settings.sources).some((path) => path.startsWith(`${key}.`)) ? 'file' : 'default';
}

/** Written as it may stand in the file. */
function milliseconds(ms: number): string {
  for (const [unit, size] of [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['m', 60_000],
    ['s', 1_000],
  ] as const) {
    if (ms >= size && ms % size === 0) return `${ms / size}${unit}`;
  }
  return `${ms}ms`;
}
