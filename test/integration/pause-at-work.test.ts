// Pausing what a node is at work on: where it stops, what it goes on with, and what becomes of a whole pipeline.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { cancelRun } from '../../src/control/cancel-run.ts';
import { pauseRun } from '../../src/control/pause-run.ts';
import { pauseScope, resumeScope } from '../../src/control/pause-scope.ts';
import { resumeRun } from '../../src/control/resume-run.ts';
import { setPriority } from '../../src/control/set-priority.ts';
import type { Pipeline } from '../../src/domain/pipeline.ts';
import { fastRetry } from '../../src/domain/retry-policy.ts';
import { settlePauses } from '../../src/queue/settle-pauses.ts';
import { getRun } from '../../src/reads/get-run.ts';
import { runEvents } from '../../src/reads/run-events.ts';
import { createTestDatabase, engineVariants, type TestDatabase } from '../support/database.ts';
import {
  createScript,
  type EngineWorld,
  eventually,
  gate,
  type Script,
  startEngineWorld,
  transient,
} from '../support/engine-world.ts';
import { enqueueRun, sql, testPipeline, testSchedule, testStep } from '../support/http-world.ts';

const quick = { ...fastRetry, initialMs: 10, maxMs: 50 };

function pipeline(id: string, steps: Pipeline['steps'], overrides: Partial<Pipeline> = {}): Pipeline {
  return testPipeline(id, { version: `${id}-1`, steps, ...overrides });
}

function step(id: string, needs: string[] = [], overrides: Partial<Pipeline['steps'][number]> = {}) {
  return testStep(id, needs, { uses: 'test.do', retry: quick, ...overrides });
}

const everySecond = testSchedule('ticking', 'second', {
  cron: '* * * * * *',
  catchup: { policy: 'all', windowMs: 86_400_000, max: 100 },
  overlap: 'allow',
});

const pipelines: Pipeline[] = [
  pipeline('line', [step('a'), step('b', ['a'])]),
  pipeline('brief', [step('a'), step('b', ['a'])], { timeoutMs: 20_000 }),
  pipeline('tidy', [step('a'), step('b', ['a'])], { finally: [step('sweep')] }),
  pipeline('fork', [step('a'), step('b'), step('c', ['b'])]),
  pipeline('many', [
    step('each', [], {
      foreach: { items: [1, 2, 3, 4, 5, 6], maxParallel: 2, onItemError: 'continue' },
      retry: { ...quick, initialMs: 3_000, maxMs: 3_000, jitter: 0 },
    }),
  ]),
  pipeline('again', [step('a', [], { retry: { ...quick, initialMs: 2_000, maxMs: 2_000, jitter: 0 } })]),
];

const ticking = pipeline('ticking', [step('tick')], { schedules: [everySecond] });

const who = { tenant: 'default', actor: 'maria' };
describe.each(engineVariants)('pausing at work on $name', (variant) => {
  let test: TestDatabase;
  let world: EngineWorld;
  let script: Script;

  beforeAll(async () => {
    test = await createTestDatabase(variant.kind);
    script = createScript();
    world = await startEngineWorld({ db: test.db, script, pipelines });
  });
  afterAll(async () => {
    await world.stop();
    await test.close();
  });
  beforeEach(() => {
    Object.assign(script, createScript());
  });
  afterEach(async () => {
    for (const one of ['line', 'ticking', null]) {
      await resumeScope(world.engine.control, { ...who, pipeline: one }).catch(() => undefined);
    }
  });

  const pause = (id: string, reason?: string) => pauseRun(world.engine.control, { ...who, id, reason });
  const resume = (id: string) => resumeRun(world.engine.control, { ...who, id });
  const requestOf = async (id: string) =>
    (await sql<{ request: string | null }>(test.db, 'select request from cronwright.queue where run_id = $1', [id]))[0]
      ?.request;
  const eventsOf = async (id: string) =>
    (await runEvents(test.db, 'default', id, { after: 0, limit: 200 })).items.map((one) => one);

  /** Until the node has beaten twice: it knows then what was asked, or asked no more. */
  async function heard(): Promise<void> {
    const beat = async () =>
      (
        await sql<{ beat: number }>(test.db, 'select beat from cronwright.nodes where id = $1', [world.engine.node.id])
      )[0]?.beat ?? 0;
    const before = await beat();
    await eventually(async () => expect(await beat()).toBeGreaterThan(before + 1));
  }
  async function ask(id: string, reason?: string): Promise<void> {
    expect((await pause(id, reason)).requested).toBe('pause');
    await heard();
  }
  /** Until then nobody claims it. */
  const later = () => ({ runAt: new Date(Date.now() + 3_600_000) });

  it('lets the step at work end and holds the next one, and says who paused it and why', async () => {
    const at = gate(script, 'a');
    const id = await world.start('line');
    await at.entered;
    await ask(id, 'the disk is full');
    at.open();
    const run = await world.reached(id, ['paused']);
    expect(script.attempts).toEqual(['a']);
    expect(run.requested).toBe(null);
    expect((await eventsOf(id)).at(-1)).toMatchObject({
      event: 'run.paused',
      from: 'running',
      to: 'paused',
      actor: 'maria',
      reason: 'the disk is full',
      node: world.engine.node.id,
    });
    await resume(id);
    expect((await world.reached(id)).state).toBe('completed');
    expect(script.attempts).toEqual(['a', 'b']);
    const seqs = (await eventsOf(id)).map((event) => event.seq);
    expect(seqs).toEqual(seqs.map((_, i) => i + 1));
  });

  it('completes a run whose last item was at work when the pause came', async () => {
    const at = gate(script, 'each/1');
    const id = await world.start('many');
    await at.entered;
    await eventually(async () => expect(script.attempts.length).toBe(6));
    await ask(id);
    at.open();
    expect((await world.reached(id)).state).toBe('completed');
  });

  it('begins no item after a pause was asked for', async () => {
    const [first, other] = [gate(script, 'each/0'), gate(script, 'each/1')];
    const id = await world.start('many');
    await Promise.all([first.entered, other.entered]);
    await ask(id);
    first.open();
    other.open();
    await world.reached(id, ['paused']);
    expect(script.attempts).toEqual(['each/0', 'each/1']);
    await resume(id);
    expect((await world.reached(id)).state).toBe('completed');
    expect(script.attempts.toSorted()).toEqual([0, 1, 2, 3, 4, 5].map((n) => `each/${n}`));
  });

  it('takes up an item again that was held before its retry, where the pause is withdrawn meanwhile', async () => {
    script.failures.set('each/0', [transient()]);
    const [first, other] = [gate(script, 'each/0'), gate(script, 'each/1')];
    const id = await world.start('many');
    await Promise.all([first.entered, other.entered]);
    await ask(id);
    // Item 0 fails and is held before its next attempt, which is 3 s away; item 1 keeps the run at work.
    first.open();
    await eventually(async () => expect(script.running).toBe(1));
    script.gates.delete('each/0');
    await resume(id);
    await eventually(async () => expect(await requestOf(id)).toBe(null));
    other.open();
    expect((await world.reached(id)).state).toBe('completed');
    expect(script.attempts.filter((name) => name === 'each/0')).toHaveLength(2);
    expect(new Set(script.attempts).size).toBe(6);
  });

  it('is held before the next attempt of a step that failed', async () => {
    script.failures.set('a', [transient()]);
    const at = gate(script, 'a');
    const id = await world.start('again');
    await at.entered;
    at.open();
    // The worker waits for the next attempt, 2 s.
    await eventually(async () => expect(script.running).toBe(0));
    await pause(id);
    const run = await world.reached(id, ['paused']);
    expect(run.state).toBe('paused');
    expect(script.attempts).toEqual(['a']);
    await resume(id);
    expect((await world.reached(id)).state).toBe('completed');
    expect(script.attempts).toEqual(['a', 'a']);
  });

  it('goes on at once where the pause is withdrawn while another step runs', async () => {
    const [a, b] = [gate(script, 'a'), gate(script, 'b')];
    const id = await world.start('fork');
    await Promise.all([a.entered, b.entered]);
    await ask(id);
    b.open();
    await eventually(async () => expect(script.running).toBe(1));
    expect(script.attempts).not.toContain('c');
    await resume(id);
    // Step a still runs; c follows b all the same.
    await eventually(async () => expect(script.attempts).toContain('c'));
    a.open();
    expect((await world.reached(id)).state).toBe('completed');
    expect((await eventsOf(id)).map((event) => event.event)).not.toContain('run.paused');
  });

  it('obeys a cancel that follows a pause, whether the pause was obeyed yet or not', async () => {
    const at = gate(script, 'a');
    const asked = await world.start('tidy');
    await at.entered;
    await ask(asked);
    await cancelRun(world.engine.control, { ...who, id: asked });
    expect((await world.reached(asked)).state).toBe('cancelled');
    expect(script.attempts).toEqual(['a', 'sweep']);
    at.open();

    const next = gate(script, 'a');
    const paused = await world.start('tidy');
    await next.entered;
    await ask(paused);
    next.open();
    await world.reached(paused, ['paused']);
    await cancelRun(world.engine.control, { ...who, id: paused });
    expect((await world.reached(paused)).state).toBe('cancelled');
  });

  it('does not begin a step of a run that was asked to pause while nobody held it', async () => {
    const { id } = await enqueueRun(test.db, pipelines[0] as Pipeline, later());
    // As a rescue leaves it: pending, the request still there.
    await sql(
      test.db,
      "update cronwright.queue set state = 'pending', run_at = null, request = 'pause', request_by = 'maria' where run_id = $1",
      [id],
    );
    world.engine.control.wake.workers();
    await world.reached(id, ['paused']);
    expect(script.attempts).toEqual([]);
    await resume(id);
    expect((await world.reached(id)).state).toBe('completed');
  });

  it('stays paused over a restart and goes on at another node', async () => {
    const at = gate(script, 'a');
    const id = await world.start('line');
    await at.entered;
    await ask(id);
    at.open();
    await world.reached(id, ['paused']);
    await world.stop();
    world = await startEngineWorld({ db: test.db, script, pipelines });
    expect((await getRun(test.db, 'default', id)).state).toBe('paused');
    await resume(id);
    expect((await world.reached(id)).state).toBe('completed');
    expect(script.attempts).toEqual(['a', 'b']);
  });

  it('is paused where its node leaves before it could obey', async () => {
    const at = gate(script, 'a');
    const id = await world.start('line');
    await at.entered;
    await ask(id);
    await world.stop();
    expect((await getRun(test.db, 'default', id)).state).toBe('paused');
    at.open();
    script.gates.clear();
    world = await startEngineWorld({ db: test.db, script, pipelines });
    await resume(id);
    expect((await world.reached(id)).state).toBe('completed');
  });

  it('does not count paused time towards the timeout', async () => {
    const at = gate(script, 'a');
    const id = await world.start('brief');
    await at.entered;
    await ask(id);
    at.open();
    await world.reached(id, ['paused']);
    // As if an hour had passed, all of it paused.
    await sql(
      test.db,
      `update cronwright.queue set attempt_started_at = attempt_started_at - interval '1 hour',
        clock_stopped_at = clock_stopped_at - interval '1 hour' where run_id = $1`,
      [id],
    );
    await resume(id);
    expect((await world.reached(id)).state).toBe('completed');
  });

  describe('a pipeline', () => {
    it('is held as a whole: what waits, what is at work, what is new; and let go as a whole', async () => {
      const { control } = world.engine;
      const at = gate(script, 'a');
      const atWork = await world.start('line');
      await at.entered;
      const waiting = await enqueueRun(test.db, pipelines[0] as Pipeline, later());
      const paused = await pauseScope(control, { ...who, pipeline: 'line', reason: 'a bad release' });
      expect([paused.held, paused.asked]).toEqual([1, 1]);
      await heard();
      at.open();
      await world.reached(atWork, ['paused']);
      await world.reached(waiting.id, ['paused']);
      const born = await world.start('line');
      expect((await getRun(test.db, 'default', born)).state).toBe('paused');
      const free = await world.start('fork');
      expect((await world.reached(free)).state).toBe('completed');
      expect((await eventsOf(waiting.id)).at(-1)).toMatchObject({
        event: 'run.paused',
        from: 'scheduled',
        actor: 'maria',
        reason: 'its pipeline is paused: a bad release',
      });
      script.gates.clear();

      await expect(resume(born)).rejects.toThrow('pipeline "line" was paused by maria: resume that');
      await resumeScope(control, { ...who, pipeline: 'line' });
      expect((await world.reached(atWork)).state).toBe('completed');
      expect((await world.reached(born)).state).toBe('completed');
      // Its own time has not come.
      expect(await getRun(test.db, 'default', waiting.id)).toMatchObject({ state: 'pending', blocked_on: 'run_at' });
      expect((await eventsOf(born)).find((event) => event.event === 'run.resumed')).toMatchObject({
        actor: 'maria',
        reason: 'its pipeline was resumed',
      });
      await sql(test.db, 'update cronwright.queue set run_at = now() where run_id = $1', [waiting.id]);
      control.wake.timers();
      expect((await world.reached(waiting.id)).state).toBe('completed');
    });

    it('lets go only what it held, not what somebody paused for itself', async () => {
      const { control } = world.engine;
      const [own, both, held] = await Promise.all(
        [0, 1, 2].map(() => enqueueRun(test.db, pipelines[0] as Pipeline, later())),
      );
      await pause(own?.id ?? '');
      await pauseScope(control, { ...who, pipeline: 'line' });
      await pause(both?.id ?? '');
      await resumeScope(control, { ...who, pipeline: 'line' });
      const stateOf = async (run: { id: string } | undefined) =>
        (await getRun(test.db, 'default', run?.id ?? '')).state;
      expect(await Promise.all([own, both, held].map(stateOf))).toEqual(['paused', 'paused', 'pending']);
    });

    it('stays held by its tenant where both were paused', async () => {
      const { control } = world.engine;
      await pauseScope(control, { ...who, pipeline: 'line' });
      const id = await world.start('line');
      await pauseScope(control, { ...who, pipeline: null, reason: 'a holiday' });
      await resumeScope(control, { ...who, pipeline: 'line' });
      expect((await getRun(test.db, 'default', id)).state).toBe('paused');
      await resumeScope(control, { ...who, pipeline: null });
      expect((await world.reached(id)).state).toBe('completed');
    });

    it('holds what raced with the pause', async () => {
      const { control } = world.engine;
      await pauseScope(control, { ...who, pipeline: 'line' });
      const { id } = await enqueueRun(test.db, pipelines[0] as Pipeline, later());
      // As an enqueue leaves it that did not see the pause; no worker looks for it yet.
      await sql(test.db, "update cronwright.queue set state = 'scheduled', held_by = null where run_id = $1", [id]);
      await world.reached(id, ['paused']);
      expect(script.attempts).toEqual([]);
    });

    it('withdraws what it asked of a run that had not stopped yet', async () => {
      const { control } = world.engine;
      const at = gate(script, 'a');
      const id = await world.start('line');
      await at.entered;
      await pauseScope(control, { ...who, pipeline: 'line' });
      expect(await requestOf(id)).toBe('pause');
      await resumeScope(control, { ...who, pipeline: 'line' });
      expect(await requestOf(id)).toBe(null);
      await heard();
      at.open();
      expect((await world.reached(id)).state).toBe('completed');
      expect((await eventsOf(id)).map((event) => event.event)).not.toContain('run.paused');
    });

    it('ends by itself at its time', async () => {
      const { control } = world.engine;
      await pauseScope(control, { ...who, pipeline: 'line', until: new Date(Date.now() + 1_500) });
      const id = await world.start('line');
      expect((await getRun(test.db, 'default', id)).state).toBe('paused');
      expect((await world.reached(id)).state).toBe('completed');
      expect((await eventsOf(id)).find((event) => event.event === 'run.resumed')).toMatchObject({
        actor: null,
        reason: 'the pause of its pipeline is over',
      });
      await expect(resumeScope(control, { ...who, pipeline: 'line' })).rejects.toThrow('is not paused');
    });

    it('owes none of its paused times: each is recorded as skipped, and none twice', async () => {
      const { control } = world.engine;
      await world.engine.apply({ pipelines: [...pipelines, ticking], hash: 'ticking' });
      await eventually(async () => expect(await countOf('enqueued')).toBeGreaterThan(0));
      await pauseScope(control, { ...who, pipeline: 'ticking' });
      const until = Date.now() + 2_500;
      await eventually(async () => expect(Date.now()).toBeGreaterThan(until));
      const before = await countOf('enqueued');
      await resumeScope(control, { ...who, pipeline: 'ticking' });
      await eventually(async () => expect(await countOf('skipped_paused')).toBeGreaterThanOrEqual(2));
      await eventually(async () => expect(await countOf('enqueued')).toBeGreaterThan(before));
      const [row] = await sql<{ spent: number; times: number }>(
        test.db,
        `select (select count(*) from cronwright.runs where schedule = 'ticking.second') +
            (select coalesce(sum(count), 0) from cronwright.occurrences where schedule = 'ticking.second') as times,
          (select extract(epoch from s.cursor_at - least(
              (select min(nominal_at) from cronwright.runs where schedule = s.id),
              (select min(first_at) from cronwright.occurrences where schedule = s.id)))
            from cronwright.schedules s where s.id = 'ticking.second')::int4 + 1 as spent`,
      );
      expect(Number(row?.times)).toBe(row?.spent);
    });

    async function countOf(outcome: string): Promise<number> {
      const [row] = await sql<{ n: number }>(
        test.db,
        outcome === 'enqueued'
          ? "select count(*) as n from cronwright.runs where schedule = 'ticking.second'"
          : `select coalesce(sum(count), 0)::int4 as n from cronwright.occurrences where schedule = 'ticking.second' and outcome = '${outcome}'`,
      );
      return Number(row?.n);
    }

    it('numbers the history of a run that it held from the start without a gap', async () => {
      const { control } = world.engine;
      await pauseScope(control, { ...who, pipeline: 'line' });
      const id = await world.start('line');
      await pause(id, 'mine as well');
      await resumeScope(control, { ...who, pipeline: 'line' });
      await resume(id);
      await world.reached(id);
      const events = await eventsOf(id);
      expect(events.map((event) => event.seq)).toEqual(events.map((_, i) => i + 1));
      expect(events.map((event) => event.event).slice(0, 4)).toEqual([
        'run.enqueued',
        'run.paused',
        'run.resumed',
        'run.claimed',
      ]);
    });

    it('numbers the history of a run that it let go without a gap', async () => {
      const { control } = world.engine;
      await pauseScope(control, { ...who, pipeline: 'line' });
      const id = await world.start('line');
      await resumeScope(control, { ...who, pipeline: 'line' });
      await world.reached(id);
      const events = await eventsOf(id);
      expect(events.map((event) => event.seq)).toEqual(events.map((_, i) => i + 1));
      expect(events.map((event) => event.event).slice(0, 3)).toEqual(['run.enqueued', 'run.resumed', 'run.claimed']);
    });

    it('leaves paused what a person had asked for before it, and says so in the name of that person', async () => {
      const { control } = world.engine;
      const { id } = await enqueueRun(test.db, pipelines[0] as Pipeline, later());
      // As a run is that somebody paused while its worker let go of it.
      await sql(
        test.db,
        "update cronwright.queue set request = 'pause', request_by = 'ann', request_reason = 'mine' where run_id = $1",
        [id],
      );
      await pauseScope(control, { ...who, pipeline: 'line' });
      expect((await eventsOf(id)).at(-1)).toMatchObject({ event: 'run.paused', actor: 'ann', reason: 'mine' });
      await resumeScope(control, { ...who, pipeline: 'line' });
      expect((await getRun(test.db, 'default', id)).state).toBe('paused');
    });

    it('changes nothing when it is settled again', async () => {
      const { control } = world.engine;
      await pauseScope(control, { ...who, pipeline: 'line' });
      const id = await world.start('line');
      const again = await settlePauses(test.db);
      expect([again.held, again.asked, again.letGo]).toEqual([0, 0, 0]);
      await resumeScope(control, { ...who, pipeline: 'line' });
      await world.reached(id);
    });
  });

  it('claims a run of changed priority before others', async () => {
    const [first = '', second = ''] = [
      (await enqueueRun(test.db, pipelines[0] as Pipeline, later())).id,
      (await enqueueRun(test.db, pipelines[0] as Pipeline, later())).id,
    ];
    await setPriority(world.engine.control, { ...who, id: second, priority: 1 });
    await sql(test.db, "update cronwright.queue set state = 'pending', run_at = null where state = 'scheduled'");
    world.engine.control.wake.workers();
    await Promise.all([world.reached(first), world.reached(second)]);
    expect(script.contexts[0]?.runId).toBe(second);
  });
});
