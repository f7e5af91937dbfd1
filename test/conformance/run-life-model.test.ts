// A run's life against a model of it: whatever people, workers, clocks and crashes do in whatever order, the database says what
// the table of states says, a limit is a limit, and a stale worker changes nothing.
import fc from 'fast-check';
import { uuidv7 } from 'uuidv7';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { cancelRun } from '../../src/control/cancel-run.ts';
import type { ControlContext } from '../../src/control/control-context.ts';
import { pauseRun } from '../../src/control/pause-run.ts';
import { pauseScope, resumeScope } from '../../src/control/pause-scope.ts';
import { resumeRun } from '../../src/control/resume-run.ts';
import { setPriority } from '../../src/control/set-priority.ts';
import type { Database } from '../../src/db/database.ts';
import type { CronwrightError } from '../../src/domain/errors.ts';
import { canTransition, isTerminal, type RunState, type TerminalState, type Transition } from '../../src/domain/run.ts';
import { createEventBus } from '../../src/observe/events.ts';
import { admitRuns } from '../../src/queue/admit-runs.ts';
import { beatNode } from '../../src/queue/beat-node.ts';
import { type ClaimedRun, claimRuns } from '../../src/queue/claim-runs.ts';
import { enqueueRuns } from '../../src/queue/enqueue-runs.ts';
import type { FencedWrite } from '../../src/queue/fenced-write.ts';
import { finishRuns } from '../../src/queue/finish-runs.ts';
import { loadLastSeq } from '../../src/queue/load-runs.ts';
import { releaseRuns } from '../../src/queue/release-runs.ts';
import { findLapsedLeases, rescueRuns } from '../../src/queue/rescue-runs.ts';
import { setLimits } from '../../src/queue/set-limits.ts';
import { wakeRuns } from '../../src/queue/wake-runs.ts';
import { writeCheckpoints } from '../../src/queue/write-checkpoints.ts';
import { hasPast } from '../../src/worker/load-live-runs.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { sql } from '../support/http-world.ts';
import { newRunOf } from '../support/new-run.ts';
import { seedOfThisRun } from '../support/seeded-random.ts';

const sequences = Number(process.env.MODEL_SEQUENCES ?? 1_000);
const node = uuidv7();
const scope = { tenant: 'default', pipeline: 'build' };
const limit = 2;
const key = 'group:few';
const leaseMs = 600_000;
const maxClaims = 3;
/** Longer than a sequence takes, and shorter than a lease. */
const minute = 60_000;

/** What the model knows of a run. Times are milliseconds from the beginning of the sequence. */
interface ModelRun {
  id: string;
  state: RunState;
  priority: number;
  isLimited: boolean;
  holdsSlot: boolean;
  hasBegun: boolean;
  token: number;
  claims: number;
  attempt: number;
  request: 'pause' | 'cancel' | null;
  runAt: number | undefined;
  pausedFrom: RunState | undefined;
  /** Resumed before its time: it is pending, and blocked until then. */
  waitsForTime: boolean;
  leaseUntil: number;
  hasProgressed: boolean;
  wasResumedLast: boolean;
  /** The pause of its pipeline holds it, or asks for it. */
  heldByScope: boolean;
}

interface Model {
  now: number;
  isScopePaused: boolean;
  runs: ModelRun[];
  /** Claims that workers believe to have, those of dead ones included: indexes of `runs` with their token. */
  held: { run: number; token: number }[];
}

interface Real {
  db: Database;
  context: ControlContext;
  /** The claims of `Model.held`, in the same order. */
  held: { claimed: ClaimedRun; seq: number; hasTold: boolean }[];
}

type Command = fc.AsyncCommand<Model, Real>;

describe('the life of a run', () => {
  let test: TestDatabase;

  beforeAll(async () => {
    test = await createTestDatabase('postgres');
  });
  afterAll(() => test.close());

  it(`is what the model says, in ${sequences} sequences of commands`, async () => {
    const property = fc.asyncProperty(fc.commands(commands, { maxCommands: 40, size: 'large' }), async (sequence) => {
      const world = await begin(test.db);
      await fc.asyncModelRun(() => world, sequence);
      await compareHistory(world.model, test.db);
    });
    await fc.assert(property, { numRuns: sequences, seed: seedOfThisRun() });
  }, 900_000);
});

async function begin(db: Database): Promise<{ model: Model; real: Real }> {
  for (const table of ['queue', 'runs', 'slots', 'step_runs', 'history', 'pauses']) {
    await sql(db, `delete from cronwright.${table}`);
  }
  await setLimits(db, [{ tenant: 'default', key, limit }]);
  return {
    model: { now: 0, isScopePaused: false, runs: [], held: [] },
    real: { db, context: contextOf(db), held: [] },
  };
}

function contextOf(db: Database): ControlContext {
  const nothing = () => {};
  return {
    db,
    clock: systemClock,
    events: createEventBus(),
    pipelines: {
      get: () => undefined,
      list: () => [],
      undoes: () => false,
      termsOf: () => ({}),
      hash: '',
    },
    liveRunsPerTenant: () => 100_000,
    wake: { workers: nothing, scheduler: nothing, timers: nothing, requests: nothing },
  } as unknown as ControlContext;
}

/** Runs the command in both worlds and compares them. */
function command(label: string, run: (model: Model, real: Real) => Promise<void>): Command {
  return {
    check: () => true,
    async run(model, real) {
      await run(model, real);
      await compare(model, real.db);
    },
    toString: () => label,
  };
}

/** The run or claim that a number means: any of those there are. */
function pick<Item>(items: readonly Item[], n: number): { item: Item; index: number } | undefined {
  if (items.length === 0) return undefined;
  const index = n % items.length;
  return { item: items[index] as Item, index };
}

const any = fc.nat({ max: 30 });
const commands: fc.Arbitrary<Command>[] = [
  fc
    .record({ isLimited: fc.boolean(), priority: fc.integer({ min: 1, max: 3 }), delay: fc.constantFrom(0, 0, 5) })
    .map((options) => command(`enqueue ${JSON.stringify(options)}`, (model, real) => enqueue(model, real, options))),
  fc.integer({ min: 1, max: 3 }).map((n) => command(`claim ${n}`, (model, real) => claim(model, real, n))),
  fc.integer({ min: 1, max: 3 }).map((n) => command(`claim ${n}`, (model, real) => claim(model, real, n))),
  any.map((n) => command(`checkpoint ${n}`, (model, real) => checkpoint(model, real, n))),
  fc
    .tuple(any, fc.constantFrom<TerminalState>('completed', 'failed', 'cancelled'))
    .map(([n, end]) => command(`finish ${n} ${end}`, (model, real) => finish(model, real, n, end))),
  fc
    .tuple(any, fc.constantFrom<Release>('waiting', 'sleeping', 'retrying', 'paused', 'pending'))
    .map(([n, to]) => command(`release ${n} ${to}`, (model, real) => release(model, real, n, to))),
  fc.constant(command('heartbeat', beat)),
  fc.constantFrom(2, 7).map((n) => command(`${n} minutes pass`, (model, real) => pass(model, real, n * minute))),
  fc.constant(command('node dies', die)),
  any.map((n) => command(`cancel ${n}`, (model, real) => cancel(model, real, n))),
  any.map((n) => command(`pause ${n}`, (model, real) => pause(model, real, n))),
  any.map((n) => command(`resume ${n}`, (model, real) => resume(model, real, n))),
  fc
    .tuple(any, fc.integer({ min: 1, max: 3 }))
    .map(([n, p]) => command(`priority ${n} ${p}`, (model, real) => prioritize(model, real, n, p))),
  fc.constant(command('pause the pipeline', pauseAll)),
  fc.constant(command('resume the pipeline', resumeAll)),
];

async function enqueue(
  model: Model,
  { db }: Real,
  { isLimited, priority, delay }: { isLimited: boolean; priority: number; delay: number },
): Promise<void> {
  const runAt = delay === 0 ? null : new Date(Date.now() + delay * minute);
  const run = newRunOf('default', { priority, limits: isLimited ? [key] : [], runAt });
  await enqueueRuns(db, [run]);
  const state = delay === 0 ? 'pending' : 'scheduled';
  model.runs.push({
    id: run.id,
    state: model.isScopePaused ? 'paused' : state,
    priority,
    isLimited,
    holdsSlot: false,
    hasBegun: false,
    token: 0,
    claims: 0,
    attempt: 1,
    request: null,
    runAt: delay === 0 ? undefined : model.now + delay * minute,
    pausedFrom: model.isScopePaused ? state : undefined,
    waitsForTime: false,
    leaseUntil: 0,
    hasProgressed: false,
    wasResumedLast: false,
    heldByScope: model.isScopePaused,
  });
  await admit(model, db);
}

/** Free slots go to the best that wait for one. */
async function admit(model: Model, db: Database): Promise<void> {
  await admitRuns(db, [{ tenant: 'default', key }]);
  const waiting = inOrder(model).filter((run) => run.isLimited && !run.holdsSlot && !run.waitsForTime);
  const free = limit - model.runs.filter((run) => run.holdsSlot).length;
  for (const run of waiting.slice(0, Math.max(0, free))) run.holdsSlot = true;
}

/** Pending runs in the order of the queue; ids rise with time. */
function inOrder(model: Model): ModelRun[] {
  return model.runs
    .filter((run) => run.state === 'pending')
    .sort((a, b) => a.priority - b.priority || (a.id < b.id ? -1 : 1));
}

async function claim(model: Model, real: Real, n: number): Promise<void> {
  const claimed = await claimRuns(real.db, { routes: ['default'], weight: 'light', limit: n, node, leaseMs });
  const expected = inOrder(model)
    .filter((run) => !run.waitsForTime && (!run.isLimited || run.holdsSlot))
    .slice(0, n);
  expect(claimed.map((one) => one.runId)).toEqual(expected.map((run) => run.id));
  const seqs = await loadLastSeq(
    real.db,
    claimed.filter(hasPast).map((one) => one.runId),
  );
  for (const one of claimed) {
    const index = model.runs.findIndex((run) => run.id === one.runId);
    const run = model.runs[index] as ModelRun;
    run.state = 'running';
    run.token += 1;
    run.claims += 1;
    run.hasBegun = true;
    run.hasProgressed = false;
    run.wasResumedLast = false;
    run.leaseUntil = model.now + leaseMs;
    expect(one).toMatchObject({ token: run.token, claims: run.claims, attempt: run.attempt });
    expect(one.request?.kind ?? null).toBe(run.request);
    model.held.push({ run: index, token: run.token });
    real.held.push({ claimed: one, seq: seqs.get(one.runId) ?? 1, hasTold: false });
  }
}

/** What a worker of this claim writes next; the claim itself is told with the first. */
function writeOf(held: Real['held'][number], told: Omit<Transition, 'at'>[], isStep: boolean): FencedWrite {
  const { runId, tenant, token } = held.claimed;
  const at = Date.now();
  const own: Omit<Transition, 'at'>[] = held.hasTold ? [] : [{ event: 'run.claimed', from: 'pending', to: 'running' }];
  const transitions = [...own, ...told].map((one) => ({ ...one, at }));
  held.hasTold = true;
  held.seq += transitions.length;
  const step = {
    step: 'work',
    item: -1,
    state: 'completed' as const,
    attempts: 1,
    retries: 0,
    output: null,
    error: null,
    startedAt: new Date(at),
    finishedAt: new Date(at),
    retryAt: null,
    rateLimitedMs: 0,
  };
  return { runId, tenant, token, steps: isStep ? [step] : [], transitions, seq: held.seq };
}

/** The run of a claim, where the claim is still worth something. */
function ownerOf(model: Model, held: Model['held'][number]): ModelRun | undefined {
  const run = model.runs[held.run] as ModelRun;
  return run.state === 'running' && run.token === held.token ? run : undefined;
}

async function checkpoint(model: Model, { db, held }: Real, n: number): Promise<void> {
  const picked = pick(model.held, n);
  if (!picked) return;
  const own = held[picked.index] as Real['held'][number];
  const written = await writeCheckpoints(db, [writeOf(own, [{ event: 'step.completed' }], true)], node, new Date());
  const run = ownerOf(model, picked.item);
  expect([...written]).toEqual(run ? [run.id] : []);
  if (run) run.hasProgressed = true;
}

function letGo(model: Model, { held }: Real, index: number): void {
  model.held.splice(index, 1);
  held.splice(index, 1);
}

function end(run: ModelRun, state: TerminalState): void {
  Object.assign(run, {
    state,
    holdsSlot: false,
    request: null,
    runAt: undefined,
    waitsForTime: false,
    heldByScope: false,
  });
}

async function finish(model: Model, real: Real, n: number, state: TerminalState): Promise<void> {
  const picked = pick(model.held, n);
  if (!picked) return;
  const own = real.held[picked.index] as Real['held'][number];
  const run = ownerOf(model, picked.item);
  const { finished } = await finishRuns(
    real.db,
    [
      {
        ...writeOf(own, [{ event: `run.${state}`, from: 'running', to: state }], true),
        state,
        error: null,
        startedAt: own.claimed.startedAt,
        finishedAt: new Date(),
        attempt: own.claimed.attempt,
        claims: own.claimed.token,
        failedItems: 0,
        progress: 100,
        message: null,
        limited: own.claimed.limits !== null,
      },
    ],
    node,
    new Date(),
  );
  expect([...finished]).toEqual(run ? [run.id] : []);
  if (run) end(run, state);
  letGo(model, real, picked.index);
  await admit(model, real.db);
}

type Release = 'waiting' | 'sleeping' | 'retrying' | 'paused' | 'pending';

/** `sleeping` waits for a time, `waiting` for somebody. */
async function release(model: Model, real: Real, n: number, kind: Release): Promise<void> {
  const picked = pick(model.held, n);
  if (!picked) return;
  const own = real.held[picked.index] as Real['held'][number];
  const run = ownerOf(model, picked.item);
  const state = kind === 'sleeping' ? 'waiting' : kind;
  const isTimed = kind === 'sleeping' || kind === 'retrying';
  const released = await releaseRuns(
    real.db,
    [
      {
        ...writeOf(own, [{ event: 'run.released', from: 'running', to: state }], false),
        state,
        waitKind: state === 'waiting' ? (kind === 'sleeping' ? 'step_retry' : 'approval') : null,
        runAt: isTimed ? new Date(Date.now() + 5 * minute) : null,
        refundClaim: kind === 'pending',
        progress: 0,
        message: null,
      },
    ],
    node,
    new Date(),
  );
  expect([...released]).toEqual(run ? [run.id] : []);
  if (run) {
    const isHeld = run.request === 'pause' && (kind === 'paused' || kind === 'retrying' || kind === 'pending');
    const isCalledBack = run.request !== null || kind === 'paused';
    run.claims = kind === 'pending' ? Math.max(0, run.claims - 1) : 0;
    run.state = isHeld ? 'paused' : isCalledBack ? 'pending' : state;
    run.pausedFrom = isHeld ? (kind === 'paused' ? 'running' : state) : undefined;
    run.runAt = !isHeld && !isCalledBack && isTimed ? model.now + 5 * minute : undefined;
    if (isHeld) run.request = null;
  }
  letGo(model, real, picked.index);
}

async function beat(model: Model, { db, held }: Real): Promise<void> {
  const { kept, requests } = await beatNode(db, {
    node,
    leaseMs,
    leases: held.map(({ claimed }) => ({
      runId: claimed.runId,
      token: claimed.token,
      step: null,
      progress: 0,
      message: null,
      progressAt: null,
    })),
  });
  const owned = model.held.flatMap((one) => ownerOf(model, one) ?? []);
  expect([...kept].sort()).toEqual(owned.map((run) => run.id).sort());
  const asked = owned.filter((run) => run.request !== null);
  expect(requests.map((one) => `${one.runId} ${one.request}`).sort()).toEqual(
    asked.map((run) => `${run.id} ${run.request}`).sort(),
  );
  for (const run of owned) run.leaseUntil = model.now + leaseMs;
}

/** The database's clock cannot be moved: all that waits for it is. */
async function pass(model: Model, { db }: Real, ms: number): Promise<void> {
  await sql(
    db,
    `update cronwright.queue set run_at = run_at - $1::int4 * interval '1 millisecond',
      lease_until = lease_until - $1::int4 * interval '1 millisecond'`,
    [ms],
  );
  model.now += ms;
  await wakeRuns(db, { limit: 100, node });
  for (const run of model.runs) {
    if (run.runAt === undefined || run.runAt > model.now) continue;
    run.wasResumedLast = false;
    if (run.waitsForTime) {
      run.waitsForTime = false;
      run.runAt = undefined;
    }
    if (run.state !== 'scheduled' && run.state !== 'waiting' && run.state !== 'retrying') continue;
    if (run.state === 'retrying') run.attempt += 1;
    run.state = 'pending';
    run.runAt = undefined;
  }
  await admit(model, db);
}

/** It beats no more, and a lease later its runs are taken from it. Its workers do not know. */
async function die(model: Model, real: Real): Promise<void> {
  await pass(model, real, leaseMs + minute);
  const lapsed = await findLapsedLeases(real.db, 100);
  const dead = model.runs.filter((run) => run.state === 'running' && run.leaseUntil < model.now);
  expect(lapsed.map((one) => one.runId).sort()).toEqual(dead.map((run) => run.id).sort());
  const result = await real.db.transaction((tx) => rescueRuns(tx, lapsed, { node, maxClaims }));
  for (const run of dead) {
    if (run.claims >= maxClaims && !run.hasProgressed) {
      end(run, 'dead_letter');
      continue;
    }
    run.state = 'pending';
    run.token += 1;
    if (run.hasProgressed) run.claims = 0;
  }
  const ended = dead.filter((run) => run.state === 'dead_letter').map((run) => run.id);
  expect(result.deadLettered.sort()).toEqual(ended.sort());
  await admit(model, real.db);
}

/** What the verb says to the run's state: done, or a conflict. */
async function ask(allowed: boolean, verb: Promise<unknown>): Promise<void> {
  const refused = await verb.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (allowed) expect(refused).toBeUndefined();
  else expect(refused).toMatchObject({ code: 'conflict' } satisfies Partial<CronwrightError>);
}

async function cancel(model: Model, { context, db }: Real, n: number): Promise<void> {
  const run = pick(model.runs, n)?.item;
  if (!run) return;
  await ask(!isTerminal(run.state), cancelRun(context, { tenant: 'default', id: run.id, actor: 'ann' }));
  if (run.state === 'running') run.request = 'cancel';
  else if (!isTerminal(run.state)) end(run, 'cancelled');
  await admit(model, db);
}

async function pause(model: Model, { context, db }: Real, n: number): Promise<void> {
  const run = pick(model.runs, n)?.item;
  if (!run) return;
  const { state } = run;
  const isAllowed = (state === 'paused' || canTransition(state, 'paused')) && run.request !== 'cancel';
  await ask(isAllowed, pauseRun(context, { tenant: 'default', id: run.id, actor: 'ann' }));
  if (!isAllowed) return;
  run.heldByScope = false;
  if (state === 'paused') return;
  run.wasResumedLast = false;
  if (state === 'running') {
    run.request = 'pause';
    return;
  }
  hold(run);
  await admit(model, db);
}

/** Nobody works on it, and nobody is to. */
function hold(run: ModelRun): void {
  const { state } = run;
  run.wasResumedLast = false;
  run.state = 'paused';
  run.pausedFrom = state;
  run.request = null;
  run.waitsForTime = false;
  if (state === 'retrying') run.runAt = undefined;
  if (!run.hasBegun) run.holdsSlot = false;
}

/** Pausing again holds what has begun to wait in the queue since. */
async function pauseAll(model: Model, { context, db }: Real): Promise<void> {
  await pauseScope(context, { ...scope, actor: 'bob' });
  model.isScopePaused = true;
  for (const run of model.runs) {
    if ((run.state === 'running' || run.state === 'waiting') && run.request === null) {
      run.request = 'pause';
      run.heldByScope = true;
    } else if (isHoldable(run) && run.request !== 'cancel') {
      run.heldByScope = run.request === null || run.heldByScope;
      hold(run);
    }
  }
  await admit(model, db);
}

function isHoldable({ state }: ModelRun): boolean {
  return state === 'scheduled' || state === 'pending' || state === 'retrying';
}

/** What a person paused stays paused. */
async function resumeAll(model: Model, { context, db }: Real): Promise<void> {
  await ask(model.isScopePaused, resumeScope(context, { ...scope, actor: 'bob' }));
  model.isScopePaused = false;
  for (const run of model.runs.filter((one) => one.heldByScope)) {
    run.heldByScope = false;
    if (run.state === 'paused') letGoOn(model, run);
    else if (run.request === 'pause') run.request = null;
  }
  await admit(model, db);
}

async function resume(model: Model, { context, db }: Real, n: number): Promise<void> {
  const run = pick(model.runs, n)?.item;
  if (!run) return;
  const isAsked = run.request === 'pause' && (run.state === 'running' || run.state === 'pending');
  const isRepeat = run.state === 'pending' && run.wasResumedLast;
  await ask(
    isRepeat || (!model.isScopePaused && (run.state === 'paused' || isAsked)),
    resumeRun(context, { tenant: 'default', id: run.id, actor: 'ann' }),
  );
  if (model.isScopePaused) return;
  run.heldByScope = false;
  if (isAsked) run.request = null;
  if (run.state !== 'paused') return;
  letGoOn(model, run);
  await admit(model, db);
}

function letGoOn(model: Model, run: ModelRun): void {
  if (run.pausedFrom === 'retrying') run.attempt += 1;
  run.state = 'pending';
  run.pausedFrom = undefined;
  run.waitsForTime = run.runAt !== undefined && run.runAt > model.now;
  if (!run.waitsForTime) run.runAt = undefined;
  run.wasResumedLast = true;
}

async function prioritize(model: Model, { context }: Real, n: number, priority: number): Promise<void> {
  const run = pick(model.runs, n)?.item;
  if (!run) return;
  await ask(!isTerminal(run.state), setPriority(context, { tenant: 'default', id: run.id, actor: 'ann', priority }));
  if (isTerminal(run.state)) return;
  if (run.priority !== priority && run.state !== 'running') run.wasResumedLast = false;
  run.priority = priority;
}

interface Row {
  id: string;
  state: RunState;
  token: number | null;
  request: string | null;
  attempt: number | null;
  slots: number;
}

async function compare(model: Model, db: Database): Promise<void> {
  const rows = await sql<Row>(
    db,
    `select r.id, coalesce(r.state, q.state) as state, q.token, q.request, q.attempt,
      (select count(*) from cronwright.slots s where s.run_id = r.id) as slots
    from cronwright.runs r left join cronwright.queue q on q.run_id = r.id
    order by r.id`,
  );
  const expected = model.runs.map((run) => {
    const isLive = !isTerminal(run.state);
    return {
      id: run.id,
      state: run.state,
      token: isLive ? run.token : null,
      request: isLive ? run.request : null,
      attempt: isLive ? run.attempt : null,
      slots: run.holdsSlot ? 1 : 0,
    };
  });
  expect(rows).toEqual(expected);
}

/** Numbers without a gap, no change that the table forbids, and the end as the last word. */
async function compareHistory(model: Model, db: Database): Promise<void> {
  const rows = await sql<{ run_id: string; seq: number; transitions: Transition[] }>(
    db,
    'select run_id, seq, transitions from cronwright.history order by run_id, seq',
  );
  for (const run of model.runs) {
    let seq = 1;
    let last: string | undefined;
    for (const row of rows.filter((one) => one.run_id === run.id)) {
      expect(row.seq).toBe(seq + row.transitions.length);
      seq = row.seq;
      for (const { from, to } of row.transitions) {
        if (from !== undefined && to !== undefined) expect([from, to]).toSatisfy(isAllowed);
        last = to ?? last;
      }
    }
    if (isTerminal(run.state)) expect(last).toBe(run.state);
  }
}

function isAllowed([from, to]: string[]): boolean {
  return canTransition(from as RunState, to as RunState);
}
