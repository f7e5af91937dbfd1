// Where spans go: `tracing` of cronwright.yaml, and where it says nothing the standard variables of OpenTelemetry.
import { CronwrightError } from '../domain/errors.ts';
import type { Environment, SettingSource } from './load-settings.ts';
import type { SettingsShape } from './settings-schema.ts';

export interface TracingSettings {
  /** As it was said. Absent: no spans. */
  endpoint?: string;
  /** Where spans are posted, with its path. */
  url?: string;
  /** `name=value,name=value`, values percent-encoded; holds credentials: show `describeSettings` instead. */
  headers?: string;
  /** Share of runs traced, 0…1. */
  sample: number;
}

const path = '/v1/traces';

/** What each means, for the page of settings. They come after the file: they are set for all programs of a machine. */
export const tracingVariables = {
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: '`tracing.endpoint`, used as it is: no path is added',
  OTEL_EXPORTER_OTLP_ENDPOINT: `\`tracing.endpoint\`, where the one above is not set; \`${path}\` is added`,
  OTEL_EXPORTER_OTLP_HEADERS:
    'headers of every request to it, such as `authorization=Bearer%20…`: `name=value`, separated by commas',
  OTEL_EXPORTER_OTLP_CERTIFICATE: 'file with the certificate (PEM) to trust for `https`; counts with any endpoint',
} as const;

/** Adds to `sources` what comes from the environment. Throws `invalid_config` for a variable that is no URL. */
export function tracingSettings(
  { endpoint, sample }: SettingsShape['tracing'],
  env: Environment,
  sources: Record<string, SettingSource>,
): TracingSettings {
  const headers = env.OTEL_EXPORTER_OTLP_HEADERS;
  if (headers) sources['tracing.headers'] = 'environment';
  return { ...placeOf(endpoint, env, sources), ...(headers ? { headers } : {}), sample };
}

function placeOf(
  endpoint: string | undefined,
  env: Environment,
  sources: Record<string, SettingSource>,
): Pick<TracingSettings, 'endpoint' | 'url'> {
  if (endpoint !== undefined) return { endpoint, url: withPath(endpoint) };
  for (const variable of ['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', 'OTEL_EXPORTER_OTLP_ENDPOINT'] as const) {
    const said = env[variable];
    if (!said) continue;
    if (!isHttpUrl(said)) throw notAnEndpoint(variable);
    sources['tracing.endpoint'] = 'environment';
    return { endpoint: said, url: variable === 'OTEL_EXPORTER_OTLP_ENDPOINT' ? withPath(said) : said };
  }
  return {};
}

export function isHttpUrl(text: string): boolean {
  return /^https?:\/\/./.test(text) && URL.canParse(text);
}

function withPath(endpoint: string): string {
  const url = new URL(endpoint);
  url.pathname = url.pathname.replace(/\/*$/, path);
  return url.toString();
}

/** The value may hold a password and is not told. */
function notAnEndpoint(variable: string): CronwrightError {
  const expected = 'http://host:4318 or an https URL';
  return new CronwrightError('invalid_config', `${variable} is not an HTTP URL, expected ${expected}`, {
    problems: [{ path: variable, message: 'not an HTTP URL', expected }],
  });
}
