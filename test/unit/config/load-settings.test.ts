// Settings: what wins over what, where each value comes from, and that secrets stay out of answers and messages.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { describeSettings } from '../../../src/config/describe-settings.ts';
import { findConfigDir, loadSettings } from '../../../src/config/load-settings.ts';
import { CronwrightError } from '../../../src/domain/errors.ts';

let configDir: string;
beforeEach(() => {
  configDir = mkdtempSync(join(tmpdir(), 'cronwright-settings-'));
});
afterEach(() => rmSync(configDir, { recursive: true }));

function writeSettings(text: string): void {
  writeFileSync(join(configDir, 'cronwright.yaml'), text);
}

async function problemsOf(loading: Promise<unknown>) {
  const error = await loading.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof CronwrightError)) throw new Error('expected a CronwrightError', { cause: error });
  expect(error.code).toBe('invalid_config');
  return error.problems;
}

describe('settings', () => {
  it('are the defaults where there is no file', async () => {
    const settings = await loadSettings({ configDir, env: {}, workingDir: '/srv' });
    expect(settings).toMatchObject({
      host: '127.0.0.1',
      port: 8080,
      dataDir: '/srv/data',
      workers: 4,
      inFlight: 500,
      limits: { liveRunsPerTenant: 100_000 },
      timing: { leaseMs: 30_000, heartbeatMs: 5_000, pollMs: 1_000, drainMs: 30_000, stuckMs: 600_000 },
      retention: { historyMs: 90 * 86_400_000, keepLast: 100 },
      sources: {},
    });
    expect(settings.databaseUrl).toBeUndefined();
    expect(settings.queues).toBeUndefined();
  });

  it('come from flag before environment before file before default', async () => {
    writeSettings('port: 1\nworkers: 1\nin_flight: 1\n');
    const env = { CRONWRIGHT_PORT: '2', CRONWRIGHT_WORKERS: '2' };
    const settings = await loadSettings({ configDir, env, flags: { port: '3' } });
    expect(settings).toMatchObject({ port: 3, workers: 2, inFlight: 1, host: '127.0.0.1' });
    const sources = Object.fromEntries(describeSettings(settings).map(({ key, source }) => [key, source]));
    expect(sources).toMatchObject({ port: 'flag', workers: 'environment', in_flight: 'file', host: 'default' });
  });

  it('take every flag and environment variable', async () => {
    const env = {
      CRONWRIGHT_HOST: '0.0.0.0',
      CRONWRIGHT_PORT: '0',
      CRONWRIGHT_DATA_DIR: '/data',
      DATABASE_URL: 'postgres://u:p@h/d',
      CRONWRIGHT_WORKERS: '0',
      CRONWRIGHT_IN_FLIGHT: '9',
      CRONWRIGHT_TOKEN: 'secret-token',
    };
    const fromEnvironment = await loadSettings({ configDir, env });
    const flags = {
      host: '0.0.0.0',
      port: 0,
      dataDir: '/data',
      databaseUrl: 'postgres://u:p@h/d',
      workers: '0',
      inFlight: 9,
      token: 'secret-token',
    };
    const fromFlags = await loadSettings({ configDir, env: {}, flags });
    const { sources: _a, ...a } = fromEnvironment;
    const { sources: _b, ...b } = fromFlags;
    expect(a).toEqual(b);
    expect(a).toMatchObject({
      host: '0.0.0.0',
      port: 0,
      dataDir: '/data',
      workers: 0,
      inFlight: 9,
      token: 'secret-token',
    });
  });

  it('treat an empty environment variable as absent', async () => {
    const settings = await loadSettings({ configDir, env: { DATABASE_URL: '', CRONWRIGHT_PORT: '' } });
    expect(settings.databaseUrl).toBeUndefined();
    expect(settings.port).toBe(8080);
  });

  it('name the flag or the variable that is wrong', async () => {
    const loading = loadSettings({ configDir, env: { CRONWRIGHT_WORKERS: 'many' }, flags: { port: '70000' } });
    expect(await problemsOf(loading)).toEqual([
      {
        path: 'CRONWRIGHT_WORKERS',
        message: 'the value has the wrong type',
        got: '"many"',
        expected: 'a whole number',
      },
      { path: '--port', message: 'the value is too large', got: '70000', expected: 'at most 65535' },
    ]);
  });

  it('say so where the directory does not exist', async () => {
    const missing = join(configDir, 'nowhere');
    const problems = await problemsOf(loadSettings({ env: {}, flags: { config: missing } }));
    expect(problems).toEqual([
      expect.objectContaining({ message: 'the configuration directory does not exist', got: missing }),
    ]);
  });

  it('never repeat a password in a message', async () => {
    writeSettings(
      'database_url: mysql://root:hunter2@db/app\nconnections: { a: { urll: "postgres://u:hunter2@h" } }\nsecrets: { A: hunter2 }\n',
    );
    const problems = await problemsOf(loadSettings({ configDir, env: {} }));
    expect(problems.length).toBeGreaterThanOrEqual(3);
    expect(JSON.stringify(problems)).not.toContain('hunter2');
  });

  it('are shown with secrets masked and sources named', async () => {
    writeSettings('connections: { a: { url: "postgres://u:hunter2@h/d?password=hunter2" } }\ntiming: { poll: 50ms }\n');
    const env = { DATABASE_URL: 'postgres://u:hunter2@h/d', CRONWRIGHT_TOKEN: 'hunter2' };
    const shown = describeSettings(await loadSettings({ configDir, env }));
    expect(JSON.stringify(shown)).not.toContain('hunter2');
    expect(shown).toContainEqual({ key: 'database_url', value: 'postgres://u:***@h/d', source: 'environment' });
    expect(shown).toContainEqual({ key: 'token', value: '***', source: 'environment' });
    expect(shown).toContainEqual({ key: 'timing.poll', value: '50ms', source: 'file' });
    expect(shown).toContainEqual({ key: 'timing.lease', value: '30s', source: 'default' });
    expect(shown.find(({ key }) => key === 'connections')?.source).toBe('file');
  });

  it('resolve paths of plugins and secrets against the configuration directory', async () => {
    writeSettings('plugins: [./own, /abs, "@acme/x"]\nsecrets: { CERT: { file: cert.pem }, KEY: { env: K } }\n');
    const settings = await loadSettings({ configDir, env: {} });
    expect(settings.plugins).toEqual([join(configDir, 'own'), '/abs', '@acme/x']);
    expect(settings.secrets).toEqual({ CERT: { file: join(configDir, 'cert.pem') }, KEY: { env: 'K' } });
  });

  it('of the example in config/ are right and are the defaults', async () => {
    const example = fileURLToPath(new URL('../../../config', import.meta.url));
    const { configDir: _, sources: _s, calendars, ...shown } = await loadSettings({ configDir: example, env: {} });
    const { configDir: _d, sources: _t, calendars: _c, ...usual } = await loadSettings({ configDir, env: {} });
    expect(shown).toEqual(usual);
    expect(calendars).toEqual({ workdays: { excludeWeekdays: [6, 0] } });
  });
});

describe('the configuration directory', () => {
  it('is named by flag, then environment, then ./config', () => {
    const env = { CRONWRIGHT_CONFIG: '/from-env' };
    expect(findConfigDir({ env, flags: { config: 'from-flag' }, workingDir: '/w' })).toBe('/w/from-flag');
    expect(findConfigDir({ env, workingDir: '/w' })).toBe('/from-env');
    expect(findConfigDir({ env: {}, workingDir: '/w' })).toBe('/w/config');
  });
});
