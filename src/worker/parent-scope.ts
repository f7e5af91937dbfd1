// What expressions of a child that is a part of its parent see: the parent's inputs and what its steps have given.
import type { Queryable } from '../db/database.ts';
import { statement } from '../db/database.ts';
import type { Scope } from '../domain/expressions/scope.ts';
import { templateReferences } from '../domain/expressions/step-references.ts';
import type { Origin } from '../domain/run.ts';
import type { ClaimedRun, RunRecord } from '../queue/claim-runs.ts';
import { loadItemOutputs } from '../queue/load-items.ts';
import { loadSteps } from '../queue/load-runs.ts';
import type { CompiledPipeline, CompiledStep } from './compiled-pipeline.ts';
import { maxCollected } from './fan-out.ts';
import { createScope, type LiveRun, toStepScope } from './live-run.ts';

export interface ParentScopes {
  /** For runs that are claimed together: what one of them has loaded the others have, too. */
  forBatch(): BatchScopes;
}

export interface BatchScopes {
  /** Loaded once a batch for all children of one step, and mostly once a node. Undefined where the parent is gone. */
  of(
    claimed: ClaimedRun,
    record: RunRecord,
    compiled: CompiledPipeline,
    step: CompiledStep,
  ): Promise<LiveRun['scope'] | undefined>;
}

type Kept = Promise<LiveRun['scope'] | undefined>;

/** Steps of runs whose scope is kept beyond a batch; inputs and outputs are at most some megabytes each. */
const maxKept = 16;

const read = statement(
  'read_parent',
  `select r.origin, r.inputs, r.nominal_at, r.late, r.schedule, r.created_at, coalesce(q.attempt, r.attempt, 1) as attempt
  from cronwright.runs r left join cronwright.queue q on q.run_id = r.id
  where r.id = $1`,
);

interface ParentRow {
  origin: Origin;
  inputs: Record<string, unknown> | null;
  nominal_at: Date | null;
  late: boolean;
  schedule: string | null;
  created_at: Date;
  attempt: number;
}

export function createParentScopes(options: { db: Queryable; apiUrl: () => string | undefined }): ParentScopes {
  const kept = new Map<string, Kept>();

  async function load(
    claimed: ClaimedRun,
    record: RunRecord,
    compiled: CompiledPipeline,
    step: CompiledStep,
  ): Promise<LiveRun['scope'] | undefined> {
    const parentId = record.parentId ?? '';
    const row = (await options.db.query<ParentRow>(read, [parentId])).rows[0];
    if (!row) return undefined;
    const scope = createScope(
      { ...claimed, schedule: row.schedule, attempt: row.attempt },
      {
        ...record,
        id: parentId,
        origin: row.origin,
        inputs: row.inputs,
        nominalAt: row.nominal_at,
        late: row.late,
        createdAt: row.created_at,
      },
      compiled,
      options.apiUrl(),
    );
    await addSteps(options.db, scope, parentId, compiled, step);
    return scope;
  }

  function keep(key: string, scope: Kept): Kept {
    kept.set(key, scope);
    scope.catch(() => kept.delete(key));
    const [oldest] = kept.keys();
    if (kept.size > maxKept && oldest !== undefined) kept.delete(oldest);
    return scope;
  }

  return {
    forBatch() {
      const batch = new Map<string, Kept>();
      return {
        async of(claimed, record, compiled, step) {
          const key = `${record.parentId}/${step.definition.id}/${record.child?.generation}`;
          const scope = batch.get(key) ?? kept.get(key) ?? keep(key, load(claimed, record, compiled, step));
          batch.set(key, scope);
          const found = await scope;
          // Steps of one child are not those of another.
          return found && { ...found, steps: { ...found.steps } };
        },
      };
    },
  };
}

/** Only what the step names: outputs may be large. */
async function addSteps(
  db: Queryable,
  scope: Scope & LiveRun['scope'],
  parentId: string,
  compiled: CompiledPipeline,
  { definition }: CompiledStep,
): Promise<void> {
  const paths = templateReferences([definition, compiled.pipeline.env]).filter(([root]) => root === 'steps');
  if (paths.length === 0) return;
  const isRead = (id: string) => paths.some(([, step]) => step === undefined || step === id);
  for (const row of (await loadSteps(db, [parentId])).get(parentId) ?? []) {
    if (!isRead(row.step)) continue;
    const isList = compiled.byId.get(row.step)?.items !== undefined;
    const output =
      isList && row.state === 'completed' && row.output === null
        ? await loadItemOutputs(db, parentId, row.step, maxCollected)
        : (row.output ?? undefined);
    scope.steps[row.step] = toStepScope({ state: row.state, output, error: row.error });
  }
}
