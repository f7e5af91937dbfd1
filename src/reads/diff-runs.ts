// Two runs side by side: version, inputs, and what each step came to, as far as they differ.
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { type Queryable, statement } from '../db/database.ts';
import { CronwrightError } from '../domain/errors.ts';
import { formatPath } from '../domain/expressions/expression.ts';
import { runCostView } from './cost-view.ts';
import { getRun, type RunDetail } from './get-run.ts';
import { runSteps, type StepView } from './run-steps.ts';
import { runView } from './run-view.ts';
import { anyJson, storedError } from './view-fields.ts';

/** How much of what differs is told: the rest is counted. */
const bounds = { differences: 50, characters: 500 } as const;

const difference = z.object({
  path: z.string().describe('where in the value; empty: the whole'),
  before: anyJson.describe('absent where there was none; a clipped text where it is long'),
  after: anyJson,
  clipped: z.boolean().describe(`whether a side is only the first ${bounds.characters} characters of its JSON`),
});

const differences = z.object({
  items: z.array(difference),
  more: z.int().describe(`differences beyond the first ${bounds.differences}`),
});

const side = runView
  .pick({
    id: true,
    pipeline: true,
    pipeline_version: true,
    origin: true,
    state: true,
    parent_id: true,
    created_at: true,
    started_at: true,
    finished_at: true,
    duration_ms: true,
    failed_items: true,
    error: true,
  })
  .extend({ cost: runCostView })
  .meta({ id: 'ComparedRun' });

const stepSide = z
  .object({
    state: z.string(),
    attempts: z.int(),
    duration_ms: z.number().nullable(),
    items: z.object({ total: z.int(), completed: z.int(), failed: z.int(), skipped: z.int() }).nullable(),
    edited: z.boolean().describe('its output was put in by a fork'),
    error: storedError.nullable(),
  })
  .meta({ id: 'ComparedStep' });

export const runsDiff = z
  .object({
    before: side,
    after: side,
    same_version: z.boolean(),
    inputs: differences,
    steps: z
      .array(
        z.object({
          step: z.string(),
          before: stepSide.nullable().describe('null where the pipeline has no such step'),
          after: stepSide.nullable(),
          same: z.boolean().describe('state, items, output and error are the same'),
          output: differences,
        }),
      )
      .describe('in the order of the later run, then those that only the earlier one has'),
  })
  .meta({ id: 'RunsDiff' });

export type RunsDiff = z.infer<typeof runsDiff>;
type Differences = z.infer<typeof differences>;

const parentOf = statement(
  'get_run_parent',
  'select parent_id from cronwright.runs where id = $1 and ($2::text is null or tenant = $2)',
);

/** `with` is what the run is compared with: default its parent. Throws `not_found`, `invalid_input` where it has none. */
export async function diffRuns(
  db: Queryable,
  tenant: string | null,
  id: string,
  other: string | undefined,
): Promise<RunsDiff> {
  const after = await getRun(db, tenant, id);
  const with_ = other ?? (await parentIdOf(db, tenant, id));
  const before = await getRun(db, tenant, with_);
  const [old, current] = [await runSteps(db, tenant, with_), await runSteps(db, tenant, id)];
  const byId = new Map(old.map((step) => [step.step, step]));
  const known = new Set(current.map((step) => step.step));
  return {
    before: side.parse(before),
    after: side.parse(after),
    same_version: before.pipeline === after.pipeline && before.pipeline_version === after.pipeline_version,
    inputs: compare(before.inputs ?? {}, after.inputs ?? {}),
    steps: [
      ...current.map((step) => compareSteps(byId.get(step.step), step)),
      ...old.filter((step) => !known.has(step.step)).map((step) => compareSteps(step, undefined)),
    ],
  };
}

async function parentIdOf(db: Queryable, tenant: string | null, id: string): Promise<string> {
  const { rows } = await db.query<{ parent_id: RunDetail['parent_id'] }>(parentOf, [id, tenant]);
  const parent = rows[0]?.parent_id;
  if (parent) return parent;
  const message = `run "${id}" was made from no other run`;
  throw new CronwrightError('invalid_input', `${message}: name the run to compare it with`, {
    problems: [{ path: 'query.with', message, got: 'nothing', expected: 'the id of a run' }],
  });
}

function compareSteps(before: StepView | undefined, after: StepView | undefined): RunsDiff['steps'][number] {
  const output = compare(before?.output ?? null, after?.output ?? null);
  const same =
    before?.state === after?.state &&
    output.items.length === 0 &&
    isDeepStrictEqual(before?.error ?? null, after?.error ?? null) &&
    isDeepStrictEqual(before?.items ?? null, after?.items ?? null);
  return { step: (after ?? before)?.step ?? '', before: sideOf(before), after: sideOf(after), same, output };
}

function sideOf(step: StepView | undefined): z.infer<typeof stepSide> | null {
  return step === undefined ? null : stepSide.parse(step);
}

/** What differs between two JSON values, the smallest parts of it, in the order of their keys. */
export function compare(before: unknown, after: unknown): Differences {
  const found: Differences = { items: [], more: 0 };
  visit(before, after, []);
  return found;

  function visit(one: unknown, other: unknown, path: readonly (string | number)[]): void {
    if (Object.is(one, other)) return;
    if (isList(one) && isList(other)) {
      for (let i = 0; i < Math.max(one.length, other.length); i++) visit(one[i], other[i], [...path, i]);
    } else if (isRecord(one) && isRecord(other)) {
      for (const key of new Set([...Object.keys(one), ...Object.keys(other)]))
        visit(one[key], other[key], [...path, key]);
    } else if (found.items.length === bounds.differences) found.more += 1;
    else found.items.push(differenceOf(path, one, other));
  }
}

function differenceOf(path: readonly (string | number)[], one: unknown, other: unknown): Differences['items'][number] {
  const [before, after] = [clip(one), clip(other)];
  return {
    path: formatPath(path),
    ...(one === undefined ? {} : { before: before.value }),
    ...(other === undefined ? {} : { after: after.value }),
    clipped: before.clipped || after.clipped,
  } as Differences['items'][number];
}

function clip(value: unknown): { value: unknown; clipped: boolean } {
  const text = JSON.stringify(value) ?? '';
  if (text.length <= bounds.characters) return { value, clipped: false };
  return { value: `${text.slice(0, bounds.characters)}…`, clipped: true };
}

function isList(value: unknown): value is unknown[] {
  return Array.isArray(value);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
