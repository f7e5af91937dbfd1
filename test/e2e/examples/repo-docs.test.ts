// The example repo-docs fails after each of its steps, in the middle of one, by its timeout and with its daemon: nothing stays behind.
import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import {
  git,
  makeRepository,
  publish,
  type SourceRepository,
  stats,
} from '../../../examples/repo-docs/repositories.ts';
import { packageRoot } from '../../../src/base/package-root.ts';
import { statement } from '../../../src/db/database.ts';
import {
  createDaemonFolder,
  type Daemon,
  type DaemonFolder,
  eventually,
  startDaemon,
} from '../../support/daemon-process.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';

interface Step extends Record<string, unknown> {
  id: string;
}
interface Run {
  id: string;
  state: string;
  error: { name: string; message: string } | null;
}

const order = ['fetch', 'changed', 'analyze', 'write', 'index', 'validate', 'commit', 'push', 'pull_request'] as const;
/** The steps that leave something behind that is to be undone. */
const undone = ['fetch', 'write', 'index', 'commit', 'push', 'pull_request'];

const keptBy = statement('test_kept_by', 'select key from cronwright.step_cache where run_id = $1::uuid');
const keptAtAll = statement('test_kept_at_all', 'select key from cronwright.step_cache');

const example = join(packageRoot, 'examples/repo-docs');
let folder: DaemonFolder;
let database: TestDatabase;
let daemon: Daemon;
let boot: () => Promise<Daemon>;
/** Steps after which a run hangs, and for how many seconds it may. */
const late = ['write', 'pull_request'];
const timeouts = [8, 40, 160];
const repositories = new Map<string, SourceRepository>();
const before = new Map<string, string>();
const runs = new Map<string, string>();

const repository = (name: string) => repositories.get(name) as SourceRepository;
const refs = (name: string) => git(repository(name).path, 'for-each-ref', '--format=%(refname) %(objectname)');
const opened = () => join(folder.path, 'open');

beforeAll(async () => {
  folder = await createDaemonFolder();
  const configDir = join(folder.path, 'config');
  const variants = await writeConfig(configDir);
  const remotes = join(folder.path, 'remotes');
  await mkdir(remotes);
  const dataDir = await folder.dataDir('node', { empty: true });
  database = await createTestDatabase('postgres');
  boot = () => startDaemon({ dataDir, configDir, env: { DATABASE_URL: database.url ?? '' } });
  const names = [...variants, 'dry', 'documented'];
  const making = names.map(async (name) => repositories.set(name, await makeRepository(remotes, name, stats)));
  [daemon] = await Promise.all([boot(), ...making]);
  for (const [at, name] of variants.entries()) {
    // Every other one has the branch already.
    if (at % 2 === 0) await git(repository(name).clone, 'push', '--quiet', 'origin', 'main:docs');
    before.set(name, await refs(name));
  }
  const start = async (name: string) =>
    runs.set(name, (await daemon.post<{ id: string }>(`/pipelines/${name}/runs`, inputs(name))).id);
  // Alone, so that they come to their last step before their time is up.
  await Promise.all(late.map(startLate));
  for (const name of variants.filter((one) => !one.startsWith('late-'))) await start(name);
});

/** With more time where the machine was too busy for less; what has run out of time before is undone like all others. */
async function startLate(step: string): Promise<void> {
  const name = `late-after-${step}`;
  for (const seconds of timeouts) {
    const { id } = await daemon.post<{ id: string }>(`/pipelines/late-${seconds}-after-${step}/runs`, inputs(name));
    runs.set(name, id);
    const isLate = async () => {
      if ((await stepsOf(id)).some((one) => one.step === 'boom' && one.state === 'running')) return 'late';
      return (await daemon.get<Run>(`/runs/${id}`)).state === 'failed' ? 'too early' : undefined;
    };
    if ((await eventually(`boom of ${name}`, isLate, 200_000)) === 'late') return;
  }
}

/** The step runs. */
function reached(name: string, step: string): Promise<unknown> {
  const isAtIt = async () =>
    (await stepsOf(runs.get(name) ?? '')).find((one) => one.step === step && one.state === 'running');
  return eventually(`${step} of ${name}`, isAtIt, 100_000);
}

afterAll(async () => {
  await daemon?.kill();
  await database?.close();
  await folder?.remove();
});

function inputs(name: string) {
  return { inputs: { remote: repository(name).url } };
}

/** The example's own pipeline, and copies that end in a fault; a result of each is kept for others to take. */
async function writeConfig(configDir: string): Promise<string[]> {
  const shipped = await readFile(join(example, 'config/pipelines/repo-docs.yaml'), 'utf8');
  const { sensors: _, ...pipeline } = parse(shipped) as { steps: Step[]; sensors: unknown; timeout: string };
  expect(pipeline.steps.map(({ id }) => id)).toEqual(order);
  const quick: Record<string, string> = { 'code.analyze': 'fault.analyze', 'docs.validate': 'fault.validate' };
  const steps = pipeline.steps.map((step) => ({ ...step, uses: quick[String(step.uses)] ?? step.uses }) as Step);
  const tally: Step = {
    ...{ id: 'tally', uses: 'text.render', needs: ['fetch'] },
    ...{ with: { template: 'kept' }, cache: { key: '${' + '{ inputs.remote }}' } },
  };
  const until = (id: string) => steps.slice(0, steps.findIndex((step) => step.id === id) + 1);
  const cut = (id: string, fault: Step): Step[] => {
    const [fetch, ...rest] = until(id) as [Step, ...Step[]];
    return [fetch, ...rest.map((step, at) => (at === 0 ? { ...step, needs: ['fetch'] } : step)), tally, fault].map(
      (step) => (step === fault ? { ...fault, needs: [id, 'tally'] } : step),
    );
  };
  const all: Record<string, object> = { 'repo-docs': pipeline };
  for (const id of order) all[`after-${id}`] = { ...pipeline, steps: cut(id, { id: 'boom', uses: 'fault.fail' }) };
  const module = '${' + "{ index == 1 ? 'not-there' : item.slug }}";
  all['in-write'] = {
    ...pipeline,
    steps: cut('write', { id: 'boom', uses: 'fault.fail' }).map((step) =>
      step.id === 'write' ? { ...step, max_parallel: 1, with: { module, out: 'repo/docs' } } : step,
    ),
  };
  for (const id of late) {
    const hangs = cut(id, { id: 'boom', uses: 'fault.hang' });
    for (const seconds of timeouts) {
      all[`late-${seconds}-after-${id}`] = { ...pipeline, timeout: `${seconds}s`, steps: hangs };
    }
  }
  const held: Step = { id: 'hold', uses: 'fault.hold', with: { until: opened() } };
  const at = steps.findIndex(({ id }) => id === 'push');
  all.held = { ...pipeline, steps: steps.toSpliced(at, 0, held) };
  await mkdir(join(configDir, 'pipelines'), { recursive: true });
  for (const [id, content] of Object.entries(all)) {
    await writeFile(join(configDir, `pipelines/${id}.yaml`), stringify({ ...content, id }));
  }
  const settings = {
    plugins: [join(import.meta.dirname, 'fault-plugin/index.ts')],
    timing: { lease: '2s', heartbeat: '500ms', rescue: '500ms' },
    workers: 4,
  };
  await writeFile(join(configDir, 'cronwright.yaml'), stringify(settings));
  const others = Object.keys(all).filter((id) => id !== 'repo-docs' && !id.startsWith('late-'));
  return [...others, ...late.map((id) => `late-after-${id}`)];
}

async function ended(id: string): Promise<Run> {
  const look = async () => {
    const run = await daemon.get<Run>(`/runs/${id}`);
    return ['completed', 'failed', 'cancelled', 'rolled_back', 'rollback_failed'].includes(run.state) ? run : undefined;
  };
  return eventually(`the end of ${id}`, look, 100_000, () => daemon.output().slice(-1_500));
}

const stepsOf = async (id: string) =>
  (await daemon.get<{ items: { step: string; state: string; attempts: number }[] }>(`/runs/${id}/steps`)).items;
const eventsOf = async (id: string) =>
  (await daemon.get<{ items: { event: string; step: string | null }[] }>(`/runs/${id}/events`)).items;

/** The remote, the workspace, and what was kept for others, are as they were before the run. */
async function expectAsBefore(name: string, id: string): Promise<void> {
  expect(await refs(name)).toBe(before.get(name));
  const workspace = join(daemon.dataDir, 'workspaces', id);
  await eventually(`${workspace} is gone`, () => (existsSync(workspace) ? undefined : true));
  expect((await database.db.query(keptBy, [id])).rows).toEqual([]);
}

describe('a run of the example repo-docs', () => {
  it.each(order)('leaves nothing behind where it fails after %s', async (step) => {
    const name = `after-${step}`;
    const id = runs.get(name) ?? '';
    const run = await ended(id);
    expect([run.state, run.error?.message]).toEqual(['failed', 'step boom: broken on purpose']);
    await expectAsBefore(name, id);
    const compensated = new Set(
      (await stepsOf(id)).filter(({ state }) => state === 'compensated').map((one) => one.step),
    );
    const expected = order.slice(0, order.indexOf(step) + 1).filter((one) => undone.includes(one));
    expect([...compensated]).toEqual(expect.arrayContaining(expected));
  });

  it('leaves nothing behind where one of its pages cannot be written', async () => {
    const id = runs.get('in-write') ?? '';
    expect(await ended(id)).toMatchObject({
      state: 'failed',
      error: { message: expect.stringContaining('not-there') },
    });
    await expectAsBefore('in-write', id);
  });

  it.each([
    'write',
    'pull_request',
  ])('leaves nothing behind where its time is up after %s: told, undone, failed', async (step) => {
    const name = `late-after-${step}`;
    const id = runs.get(name) ?? '';
    expect(await ended(id)).toMatchObject({ state: 'failed', error: { name: 'TimeoutError' } });
    await expectAsBefore(name, id);
    const events = await eventsOf(id);
    const at = (event: string) => events.findIndex((one) => one.event === event);
    const last = (event: string) => events.findLastIndex((one) => one.event === event);
    expect(at('run.timed_out')).toBeGreaterThan(0);
    expect(at('step.compensated')).toBeGreaterThan(at('run.timed_out'));
    expect(at('run.failed')).toBeGreaterThan(last('step.compensated'));
    expect(events.filter((one) => one.event === 'step.compensated').map((one) => one.step)).toContain(step);
    const logged = daemon.log.filter((line) => line.run_id === id).map(({ msg }) => msg);
    expect(logged.indexOf('run.timed_out')).toBeLessThan(logged.indexOf('run.finished'));
  });

  it('changes nothing in a dry run, and says what it would do', async () => {
    const was = await refs('dry');
    const { id } = await daemon.post<{ id: string }>('/pipelines/repo-docs/runs', { ...inputs('dry'), dry_run: true });
    const from = performance.now();
    const monitor = promisify(execFile)(process.execPath, [join(example, 'monitor.mjs'), id, daemon.url]);
    expect(await ended(id)).toMatchObject({ state: 'completed' });
    expect(await refs('dry')).toBe(was);
    const { items } = await daemon.get<{ items: { text: string }[] }>(`/runs/${id}/logs`);
    const said = items.map(({ text }) => text).join('\n');
    expect(said).toContain('dry run: would push');
    expect(said).toContain('dry run: would open a pull request');
    const watched = (await monitor).stdout.trim().split('\n');
    expect(performance.now() - from).toBeGreaterThan(5_000 * (watched.length - 1));
    expect(watched.at(-1)).toMatch(/^100\.0 % {2}completed/);
    expect(watched.filter((line) => !/^\d+\.\d % {2}[a-z]+/.test(line))).toEqual([]);
  });

  it('puts back the branch and the pull request of an earlier run', async () => {
    const batch = { runs: [inputs('documented')] };
    const { ids } = await daemon.post<{ ids: string[] }>('/pipelines/repo-docs/runs/batch', batch);
    expect(await ended(ids[0] ?? '')).toMatchObject({ state: 'completed' });
    const first = await refs('documented');
    expect(first).toContain('refs/cronwright/pr/1');
    await publish(
      repository('documented'),
      { 'stats/more.py': '"""More."""\n\n\ndef more():\n    """More."""\n' },
      'More',
    );
    before.set('documented', await refs('documented'));
    const { id } = await daemon.post<{ id: string }>('/pipelines/after-pull_request/runs', inputs('documented'));
    expect(await ended(id)).toMatchObject({ state: 'failed' });
    expect((await stepsOf(id)).find(({ step }) => step === 'pull_request')?.state).toBe('compensated');
    await expectAsBefore('documented', id);
  });

  it('goes on after a kill -9 at the step that was under way, and can be undone when it is done', async () => {
    const id = runs.get('held') ?? '';
    await reached('held', 'hold');
    await daemon.kill();
    expect(await refs('held')).toBe(before.get('held'));
    await writeFile(opened(), '');
    daemon = await boot();
    expect(await ended(id)).toMatchObject({ state: 'completed' });
    const attempts = (await stepsOf(id)).map(({ step, attempts: n }) => [step, n]);
    expect(Object.fromEntries(attempts)).toMatchObject({ fetch: 1, analyze: 1, commit: 1, push: 1, pull_request: 1 });
    expect(await refs('held')).toContain('refs/cronwright/pr/1');
    const undo = await daemon.post<{ id: string }>(`/runs/${id}/rollback`);
    expect(await ended(undo.id)).toMatchObject({ state: 'rolled_back' });
    await expectAsBefore('held', id);
  });

  it('has left no workspace, and no result for others', async () => {
    const workspaces = join(daemon.dataDir, 'workspaces');
    // Beside them lies the identity of the folder.
    const ofRuns = () => readdirSync(workspaces).filter((name) => !name.startsWith('.'));
    await eventually('no workspaces', () => (ofRuns().length === 0 ? true : undefined));
    expect((await database.db.query(keptAtAll)).rows).toEqual([]);
  });
});
