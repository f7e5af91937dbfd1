// The figures of a job's report: totals, times, tokens and money, of what the engine has on record of its items.
import { type CostsSoFar, costRatio } from 'cronwright/plugin';
import { z } from 'zod';

const named = z.object({ id: z.string(), name: z.string() });

export const databaseJob = z.looseObject({ total: z.int(), todo: z.array(named), skipped: z.array(named) });

const objectLine = z.object({
  id: z.string(),
  name: z.string(),
  status: z.enum(['completed', 'failed', 'undone', 'skipped', 'not_processed']),
  version: z.int().nullable(),
  duration_ms: z.number().nullable(),
  prompt_tokens: z.int(),
  completion_tokens: z.int(),
  usd: z.number(),
  error: z.string().nullable(),
});

const layerLine = z.object({
  name: z.string(),
  objects: z.int(),
  duration_ms: z.int(),
  prompt_tokens: z.int(),
  completion_tokens: z.int(),
  usd: z.number(),
});

export const jobReport = z.object({
  job_id: z.string(),
  status: z.enum(['completed', 'failed', 'cancelled', 'not_started']),
  started_by: z.object({ user_id: z.string().nullable(), user_email: z.string().nullable() }),
  total: z.int(),
  processed: z.int(),
  failed: z.int(),
  skipped: z.int(),
  success_rate: z.number().nullable().describe('Percent of those that were tried; null where none was.'),
  duration_ms: z.number().nullable().describe('From the first object to the end of the last.'),
  average_ms: z.number().nullable().describe('Of an object that was tried.'),
  prompt_tokens: z.int().describe('By the ledger: failed attempts included. Also `usd`.'),
  completion_tokens: z.int(),
  total_tokens: z.int(),
  usd: z.number(),
  estimate_usd: z.number().nullable().describe('What the run was said to cost (cost.estimate), the low end.'),
  ratio: z.number().nullable().describe('What it cost by what was expected.'),
  layers: z.array(layerLine),
  objects: z.array(objectLine),
  errors: z.array(z.object({ object_id: z.string(), name: z.string(), message: z.string(), attempts: z.int() })),
});

export type JobReport = z.infer<typeof jobReport>;

interface ItemLayer {
  name: string;
  duration_ms: number;
  prompt_tokens: number;
  completion_tokens: number;
  usd: number;
}

/** A row of the engine's step_runs. */
export interface JobItem {
  item: number;
  state: string;
  attempts: number;
  error: { name: string; message: string } | null;
  started_at: string | null;
  finished_at: string | null;
  layers: ItemLayer[] | null;
  stored: { version: number } | null;
}

interface Job {
  runId: string;
  objects: z.infer<typeof databaseJob>;
  /** Of the step that goes over the objects. */
  state: string;
  items: readonly JobItem[];
  keep_after_failure: boolean;
  costs: Pick<CostsSoFar, 'actualUsd' | 'estimatedUsd' | 'promptTokens' | 'completionTokens'>;
  user_id: string | null;
  user_email: string | null;
}

export function reportFigures({ runId, objects, state, items, costs, ...given }: Job): JobReport {
  const lines = objects.todo.map((object, index) =>
    lineOf(
      object,
      items.find(({ item }) => item === index),
      given.keep_after_failure,
    ),
  );
  const tried = lines.filter(({ status }) => status === 'completed' || status === 'failed');
  const processed = tried.filter(({ status }) => status === 'completed').length;
  const layers = items.flatMap((item) => item.layers ?? []);
  const times = tried.flatMap(({ duration_ms: ms }) => (ms === null ? [] : [ms]));
  const { estimatedUsd: estimate, actualUsd: usd } = costs;
  return {
    job_id: runId,
    status: statusOf(state, items),
    started_by: { user_id: given.user_id, user_email: given.user_email },
    total: objects.total,
    processed,
    failed: tried.length - processed,
    skipped: objects.skipped.length,
    success_rate: tried.length === 0 ? null : round((processed / tried.length) * 100, 1),
    duration_ms: spanOf(items),
    average_ms: times.length === 0 ? null : round(times.reduce((sum, ms) => sum + ms, 0) / times.length, 0),
    prompt_tokens: costs.promptTokens,
    completion_tokens: costs.completionTokens,
    total_tokens: costs.promptTokens + costs.completionTokens,
    usd: round(usd, 6),
    estimate_usd: estimate,
    ratio: costRatio(usd, estimate),
    layers: [...new Set(layers.map(({ name }) => name))].map((name) => {
      const own = layers.filter((layer) => layer.name === name);
      const ms = own.reduce((sum, layer) => sum + layer.duration_ms, 0);
      return { name, objects: own.length, duration_ms: ms, ...sumOf(own) };
    }),
    objects: [
      ...lines,
      ...objects.skipped.map((object) => ({ ...lineOf(object, undefined, false), status: 'skipped' as const })),
    ],
    errors: items.flatMap((one) => {
      const { item, error, attempts } = one;
      const id = objects.todo[item]?.id;
      if (itemStatus(one, false) !== 'failed' || error === null || id === undefined) return [];
      return [{ object_id: id, name: error.name, message: error.message, attempts }];
    }),
  };
}

function lineOf(
  { id, name }: z.infer<typeof named>,
  item: JobItem | undefined,
  isKept: boolean,
): JobReport['objects'][number] {
  const spent = sumOf(item?.layers ?? []);
  return {
    ...{ id, name, status: item ? itemStatus(item, isKept) : 'not_processed', version: item?.stored?.version ?? null },
    ...{ duration_ms: item ? spanOf([item]) : null, ...spent, error: item?.error?.message ?? null },
  };
}

/** A run that failed has been undone when the report is written. */
function itemStatus({ state, error }: JobItem, isKept: boolean): JobReport['objects'][number]['status'] {
  if (state === 'completed' || state === 'failed') return state;
  if (state !== 'compensated') return 'not_processed';
  if (error !== null) return 'failed';
  return isKept ? 'completed' : 'undone';
}

function sumOf(layers: readonly ItemLayer[]) {
  const sum = (of: (layer: ItemLayer) => number) => layers.reduce((all, layer) => all + of(layer), 0);
  return {
    prompt_tokens: sum((layer) => layer.prompt_tokens),
    completion_tokens: sum((layer) => layer.completion_tokens),
    usd: round(
      sum((layer) => layer.usd),
      6,
    ),
  };
}

/** Milliseconds from the first beginning to the last end. */
function spanOf(items: readonly JobItem[]): number | null {
  const starts = items.flatMap(({ started_at: at }) => (at === null ? [] : [Date.parse(at)]));
  const ends = items.flatMap(({ finished_at: at }) => (at === null ? [] : [Date.parse(at)]));
  return starts.length === 0 || ends.length === 0 ? null : Math.max(0, Math.max(...ends) - Math.min(...starts));
}

function statusOf(state: string, items: readonly JobItem[]): JobReport['status'] {
  if (state === 'completed' || state === 'failed') return state;
  if (items.length === 0) return 'not_started';
  return state === 'compensated' ? 'failed' : 'cancelled';
}

function round(value: number, digits: number): number {
  return Math.round(value * 10 ** digits) / 10 ** digits;
}
