// The bare-SQL ceiling: the queue's own statements on the same schema and rows, driven by a plain loop without an engine.
import pg from 'pg';
import type { Json } from '../../src/base/json.ts';
import type { Queryable } from '../../src/db/database.ts';
import { applySessionSettings } from '../../src/db/session-settings.ts';
import { sqlTypes } from '../../src/db/sql-values.ts';
import type { Transition } from '../../src/domain/run.ts';
import { type ClaimedRun, claimRuns } from '../../src/queue/claim-runs.ts';
import { enqueueRuns } from '../../src/queue/enqueue-runs.ts';
import type { FencedWrite, StepWrite } from '../../src/queue/fenced-write.ts';
import { finishRuns } from '../../src/queue/finish-runs.ts';
import { writeCheckpoints } from '../../src/queue/write-checkpoints.ts';
import { createBenchDatabase } from '../bench-database.ts';
import { benchPipeline, newRuns } from '../bench-world.ts';
import { figure } from '../figure.ts';
import type { Scenario } from '../scenario.ts';

/** Connections at work at once; more only wait for each other on two cores. */
const lanes = 3;
const batch = 200;
const node = '01890000-0000-7000-8000-000000000001';

export const ceiling: Scenario = {
  name: 'ceiling',
  about: "the queue's statements on the same rows from a plain loop, no engine: what the database allows",
  async run(bench) {
    const database = await createBenchDatabase(bench);
    const clients = await Promise.all(Array.from({ length: lanes }, () => plainClient(database.url ?? '')));
    const count = bench.quick ? 8_000 : 60_000;
    const rounds: Record<1 | 3, number[]> = { 1: [], 3: [] };
    try {
      for (let round = -1; round < bench.rounds; round += 1) {
        for (const steps of [1, 3] as const) {
          const pipeline = benchPipeline(steps === 1 ? 'single' : 'three', steps);
          for (let left = count; left > 0; left -= 2_000) await enqueueRuns(database.db, newRuns(pipeline, 2_000));
          const from = performance.now();
          await Promise.all(clients.map((client) => drain(client.db, steps)));
          if (round >= 0) rounds[steps].push((count / (performance.now() - from)) * 1_000);
        }
      }
    } finally {
      await Promise.all(clients.map((client) => client.end()));
      await database.close();
    }
    return [
      figure('ceiling, single-step', 'runs/s', rounds[1], { note: `${lanes} connections, no engine` }),
      figure('ceiling, three-step', 'runs/s', rounds[3], { note: `${lanes} connections, no engine` }),
    ];
  },
};

async function plainClient(url: string): Promise<{ db: Queryable; end(): Promise<void> }> {
  const client = new pg.Client({ connectionString: url, types: sqlTypes });
  await client.connect();
  await applySessionSettings(client, { cockroachdb: false });
  return {
    db: {
      async query<Row>(statement: { name: string; text: string }, params: readonly unknown[] = []) {
        const { rows } = await client.query({ name: statement.name, text: statement.text, values: [...params] });
        return { rows: rows as Row[], count: rows.length };
      },
    },
    end: () => client.end(),
  };
}

async function drain(db: Queryable, steps: number): Promise<void> {
  for (;;) {
    const claimed = await claimRuns(db, { routes: ['default'], weight: 'light', limit: batch, node, leaseMs: 30_000 });
    if (claimed.length === 0) return;
    for (let i = 0; i < steps - 1; i += 1) {
      const transitions = i === 0 ? [claimedTransition, stepTransition(i)] : [stepTransition(i)];
      const seq = i === 0 ? 3 : 2 + steps;
      await writeCheckpoints(
        db,
        claimed.map((run) => write(run, i, transitions, seq + i)),
        node,
        new Date(),
      );
    }
    const last = [...(steps === 1 ? [claimedTransition] : []), stepTransition(steps - 1), finishedTransition];
    const at = new Date();
    const finishes = claimed.map((run) => ({
      ...write(run, steps - 1, last, steps + 3),
      state: 'completed' as const,
      error: null,
      startedAt: at,
      finishedAt: at,
      attempt: 1,
      claims: 1,
      failedItems: 0,
      progress: 100,
      message: 'step',
      limited: false,
    }));
    await finishRuns(db, finishes, node, at);
  }
}

const output: Json = { done: 1 };
const claimedTransition: Transition = {
  event: 'run.claimed',
  from: 'pending',
  to: 'running',
  node,
  attempt: 1,
  at: 1,
  data: { token: 1 },
};
const finishedTransition: Transition = { event: 'run.completed', from: 'running', to: 'completed', node, at: 1 };

function stepTransition(i: number): Transition {
  return { event: 'step.completed', step: `step_${i}`, attempt: 1, at: 1, data: { progress: 100 } };
}

function write(run: ClaimedRun, i: number, transitions: readonly Transition[], seq: number): FencedWrite {
  const at = new Date();
  const step: StepWrite = {
    step: `step_${i}`,
    item: -1,
    state: 'completed',
    attempts: 1,
    retries: 0,
    output,
    error: null,
    startedAt: at,
    finishedAt: at,
    retryAt: null,
    rateLimitedMs: 0,
  };
  return { runId: run.runId, tenant: run.tenant, token: run.token, steps: [step], transitions, seq };
}
