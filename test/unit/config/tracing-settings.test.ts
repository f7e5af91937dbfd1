// Where spans go: the file first, then the standard variables; credentials stay out of answers and messages.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { describeSettings } from '../../../src/config/describe-settings.ts';
import { loadSettings } from '../../../src/config/load-settings.ts';
import { CronwrightError } from '../../../src/domain/errors.ts';

let configDir: string;
beforeEach(() => {
  configDir = mkdtempSync(join(tmpdir(), 'cronwright-tracing-'));
});
afterEach(() => rmSync(configDir, { recursive: true }));

const file = (text: string): void => writeFileSync(join(configDir, 'cronwright.yaml'), text);
const load = (env: Record<string, string> = {}) => loadSettings({ configDir, env });

describe('tracing', () => {
  it('is off unless somebody says where spans go', async () => {
    expect((await load()).tracing).toEqual({ sample: 1 });
    expect((await load({ OTEL_EXPORTER_OTLP_ENDPOINT: '' })).tracing).toEqual({ sample: 1 });
  });

  it.each([
    ['http://collector:4318', 'http://collector:4318/v1/traces'],
    ['http://collector:4318/', 'http://collector:4318/v1/traces'],
    ['https://collector/otlp/?key=1', 'https://collector/otlp/v1/traces?key=1'],
  ])('goes from the base URL %s to %s', async (endpoint, url) => {
    file(`tracing: { endpoint: "${endpoint}", sample: 0.5 }\n`);
    expect((await load()).tracing).toEqual({ endpoint, url, sample: 0.5 });
    rmSync(join(configDir, 'cronwright.yaml'));
    expect((await load({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint })).tracing).toEqual({ endpoint, url, sample: 1 });
  });

  it('takes the endpoint for traces as it is, before the one for all signals, and the file before both', async () => {
    const env = {
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://traces:4318/in',
      OTEL_EXPORTER_OTLP_ENDPOINT: 'http://all:4318',
    };
    const fromEnvironment = await load(env);
    expect(fromEnvironment.tracing.url).toBe('http://traces:4318/in');
    expect(fromEnvironment.sources['tracing.endpoint']).toBe('environment');
    file('tracing: { endpoint: "http://file:4318" }\n');
    const fromFile = await load(env);
    expect(fromFile.tracing.url).toBe('http://file:4318/v1/traces');
    expect(fromFile.sources['tracing.endpoint']).toBe('file');
  });

  it('shows neither headers nor passwords', async () => {
    const settings = await load({
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://me:s3cr3t@collector/?api_key=s3cr3t',
      OTEL_EXPORTER_OTLP_HEADERS: 'authorization=s3cr3t',
    });
    expect(settings.tracing.headers).toBe('authorization=s3cr3t');
    const shown = describeSettings(settings).filter(({ key }) => key.startsWith('tracing.'));
    expect(shown).toContainEqual({ key: 'tracing.headers', value: '***', source: 'environment' });
    expect(JSON.stringify(shown)).not.toContain('s3cr3t');
  });

  it.each([
    'collector:4318',
    'http://',
    'http://[',
    'grpc://collector:4317/s3cr3t',
  ])('refuses %s by the name of its place, without repeating a variable', async (wrong) => {
    const problemOf = (loading: Promise<unknown>) =>
      loading.then(
        () => undefined,
        (error: unknown) => (error instanceof CronwrightError ? error.problems[0] : error),
      );
    const named = await problemOf(load({ OTEL_EXPORTER_OTLP_ENDPOINT: wrong }));
    expect(named).toMatchObject({ path: 'OTEL_EXPORTER_OTLP_ENDPOINT', message: 'not an HTTP URL' });
    expect(JSON.stringify(named)).not.toContain('s3cr3t');
    file(`tracing: { endpoint: "${wrong}" }\n`);
    expect(await problemOf(load())).toMatchObject({ path: 'tracing.endpoint', line: 1 });
  });
});
