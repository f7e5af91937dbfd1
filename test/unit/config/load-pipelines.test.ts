// Pipelines from files: what the engine gets, when versions change, and what is refused before it is read.
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadPipelines } from '../../../src/config/load-pipelines.ts';
import { loadSettings } from '../../../src/config/load-settings.ts';
import { fastRetry, slowRetry } from '../../../src/domain/retry-policy.ts';
import { createTestCatalogue } from '../../support/step-catalogue.ts';

const valid = fileURLToPath(new URL('../../config/testdata/valid', import.meta.url));
const catalogue = createTestCatalogue();
let configDir: string;
beforeEach(() => {
  configDir = mkdtempSync(join(tmpdir(), 'cronwright-pipelines-'));
  mkdirSync(join(configDir, 'pipelines'));
});
afterEach(() => rmSync(configDir, { recursive: true }));

function load() {
  return loadPipelines({ configDir, settings: { calendars: {} }, catalogue });
}

function write(name: string, text: string): void {
  writeFileSync(join(configDir, 'pipelines', name), text);
}

const step = 'steps:\n  - { id: say, uses: test.echo, with: { message: hi } }\n';

describe('pipelines from files', () => {
  it('have every default filled in', async () => {
    write('a.yaml', `id: demo\nschedules:\n  - { id: daily, cron: "@daily" }\n${step}`);
    const { pipelines, problems, warnings } = await load();
    expect([...problems, ...warnings]).toEqual([]);
    expect(pipelines).toEqual([
      {
        id: 'demo',
        tenant: 'default',
        version: expect.stringMatching(/^[0-9a-f]{16}$/),
        inputs: {},
        env: {},
        schedules: [
          {
            id: 'demo.daily',
            name: 'daily',
            tenant: 'default',
            pipeline: 'demo',
            enabled: true,
            cron: '@daily',
            timezone: 'UTC',
            overlap: 'skip',
            catchup: { policy: 'last', windowMs: 86_400_000, max: 100 },
            graceMs: 60_000,
            jitterMs: 0,
          },
        ],
        priority: 5,
        queue: 'default',
        timeoutMs: 3_600_000,
        onInterrupted: 'retry',
        steps: [
          {
            id: 'say',
            uses: 'test.echo',
            with: { message: 'hi' },
            needs: [],
            continueOnError: false,
            env: {},
            retry: fastRetry,
            timeoutMs: 600_000,
          },
        ],
        finally: [],
        onFailure: [],
      },
    ]);
  });

  it('carry every key that a file can have', async () => {
    cpSync(join(valid, 'everything'), configDir, { recursive: true });
    const settings = await loadSettings({ configDir, env: {} });
    const { pipelines, problems, warnings } = await loadPipelines({ configDir, settings, catalogue });
    expect([...problems, ...warnings]).toEqual([]);
    const [pipeline] = pipelines;
    expect(pipeline).toMatchObject({
      tenant: 'acme',
      priority: 3,
      queue: 'reports',
      runsOn: ['gpu', 'linux'],
      timeoutMs: 7_200_000,
      concurrency: { limit: 2, group: 'reports-and-more' },
      retry: { ...slowRetry, maxRetries: 1, on: ['transient', 'TimeoutError'] },
      onInterrupted: 'wait_manual',
    });
    expect(pipeline?.schedules).toMatchObject([
      {
        cron: 'H 2 * * *',
        dst: { gap: 'skip', overlap: 'last' },
        catchup: { policy: 'all', windowMs: 43_200_000, max: 5 },
        graceMs: 30_000,
        jitterMs: 300_000,
        calendar: { excludeWeekdays: [6, 0], excludeDates: ['2026-12-25'] },
        priority: 2,
      },
      {
        catchup: { policy: 'none' },
        calendar: { includeDates: ['2026-02-28'], includeWeekdays: [1, 0] },
        enabled: false,
      },
    ]);
    const steps = new Map(pipeline?.steps.map((one) => [one.id, one]));
    expect([...steps.values()].map(({ needs }) => needs)).toEqual([[], [], ['list', 'size'], ['copy'], ['sum']]);
    expect(steps.get('copy')).toMatchObject({
      if: 'steps.list.output.total > 0 && inputs.ratio / 2.0 < 1.0',
      foreach: { maxParallel: 8, onItemError: 'fail' },
      retry: { initialMs: 500, multiplier: 3, maxMs: 10_000, jitter: 0.5, maxRetries: 2, on: ['transient', 'item'] },
      timeoutMs: 5_400_000,
      continueOnError: true,
    });
    expect(steps.get('sum')?.if).toBe('true');
    expect(steps.get('each')?.foreach).toEqual({ items: [1, 2, 3], maxParallel: 4, onItemError: 'continue' });
    expect(pipeline?.finally.map(({ id }) => id)).toEqual(['tidy']);
    expect(pipeline?.onFailure.map(({ id }) => id)).toEqual(['complain']);
  });

  it('may share a file, begin with a byte order mark and use blocks, quotes and aliases', async () => {
    cpSync(join(valid, 'quotes-and-blocks'), configDir, { recursive: true });
    const { pipelines, problems } = await load();
    expect(problems).toEqual([]);
    expect(pipelines.map(({ id }) => id)).toEqual(['with-bom', 'first', 'second']);
    expect(pipelines[2]?.schedules[0]?.cron).toBe('0 2 * * MON-FRI');
    expect(pipelines[2]?.inputs.more?.default).toEqual(['a', 'b']);
  });

  it('keep their version when only comments and order of keys change, and get another with their content', async () => {
    const env = (text: string) => `env: { ${text} }\n`;
    write('a.yaml', `id: demo\npriority: 3\n${step}${env('A: x, B: y')}`);
    const before = await load();
    write('a.yaml', `# comment\n${env('B: y, A: x')}${step}priority: 3\nid: demo\n`);
    const same = await load();
    write('a.yaml', `id: demo\npriority: 4\n${step}${env('A: x, B: y')}`);
    const other = await load();
    expect(same.pipelines[0]?.version).toBe(before.pipelines[0]?.version);
    expect(same.hash).toBe(before.hash);
    expect(other.pipelines[0]?.version).not.toBe(before.pipelines[0]?.version);
    expect(other.hash).not.toBe(before.hash);
  });

  it('may have the same id in different tenants', async () => {
    write('a.yaml', `id: demo\ntenant: one\n${step}---\nid: demo\ntenant: two\n${step}`);
    const { pipelines, problems } = await load();
    expect(problems).toEqual([]);
    expect(pipelines).toHaveLength(2);
  });

  it('are none where there is no directory', async () => {
    rmSync(join(configDir, 'pipelines'), { recursive: true });
    expect(await load()).toMatchObject({ pipelines: [], problems: [], warnings: [] });
  });

  it('are still read where another file is wrong', async () => {
    write('a.yaml', 'id: [');
    write('b.yaml', `id: demo\n${step}`);
    const { pipelines, problems } = await load();
    expect(pipelines.map(({ id }) => id)).toEqual(['demo']);
    expect(problems).toHaveLength(1);
  });

  it('of 5 MB are refused by size', async () => {
    write('large.yaml', `id: demo\ndescription: ${'x'.repeat(5_000_000)}\n${step}`);
    const { problems } = await load();
    expect(problems).toEqual([
      {
        file: 'pipelines/large.yaml',
        message: 'the file is too large',
        got: expect.stringMatching(/^50000\d\d bytes$/),
        expected: 'at most 1048576 bytes',
      },
    ]);
  });

  it('with dangerous keys change no prototype', async () => {
    write('a.yaml', `id: demo\n${step}env: { __proto__: { polluted: yes } }\n`);
    const { problems } = await load();
    expect(problems.map(({ message }) => message)).toEqual(['the key "__proto__" is not allowed anywhere']);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });
});
