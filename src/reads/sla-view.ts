// What was promised about a run or a schedule, and what was not kept.
import { z } from 'zod';
import { promisesOf, type Sla, type SlaKind, slaKinds } from '../domain/sla.ts';
import { instant, maybeInstant } from './view-fields.ts';

export const runSlaView = z
  .object({
    start_by: maybeInstant,
    complete_by: maybeInstant,
    missed: z.array(
      z.object({ kind: z.enum(slaKinds), due_at: instant, missed_at: instant.describe('when it was found') }),
    ),
  })
  .meta({ id: 'RunSla' });

export type RunSlaView = z.infer<typeof runSlaView>;

export const scheduleSlaView = z
  .object({
    start_within_ms: z.int().nullable(),
    complete_within_ms: z.int().nullable(),
    missed: z.int().describe('nominal times of the last 30 days by when they were missed, each promise for itself'),
    last_missed_at: maybeInstant,
  })
  .meta({ id: 'ScheduleSla' });

export type ScheduleSlaView = z.infer<typeof scheduleSlaView>;

/** Columns `promise` and `sla_misses` of a run `r`: its schedule's promise as it is now, or that of its pipeline's version. */
export const runSlaColumns = `case when r.schedule is null
      then (select p.definition->'sla' from cronwright.pipelines p
        where p.tenant = r.tenant and p.id = r.pipeline and p.version = r.pipeline_version)
      else (select s.definition->'sla' from cronwright.schedules s where s.tenant = r.tenant and s.id = r.schedule) end as promise,
    (select jsonb_agg(jsonb_build_object('kind', m.kind, 'due_at', m.due_at, 'missed_at', m.missed_at) order by m.due_at)
      from cronwright.sla_misses m where m.tenant = r.tenant and m.subject = any(array[
        r.id::text, case when r.origin = 'schedule' then r.schedule || '@' || (extract(epoch from r.nominal_at)::int8)::text end
      ])) as sla_misses`;

export interface RunSlaRow {
  promise: Sla | null;
  sla_misses: { kind: SlaKind; due_at: string; missed_at: string }[] | null;
}

interface PromisedRun {
  origin: string;
  nominal_at: Date | null;
  run_at: Date | null;
  created_at: Date;
}

/** Null where nothing was promised, and nothing was missed. */
export function toRunSla({ promise, sla_misses }: RunSlaRow, run: PromisedRun): RunSlaView | null {
  if (promise === null && sla_misses === null) return null;
  const base = (run.origin === 'schedule' ? run.nominal_at : run.run_at) ?? run.created_at;
  const dueBy = (kind: SlaKind) => {
    const found = promisesOf(promise ?? undefined).find((one) => one.kind === kind);
    return found === undefined ? null : new Date(base.getTime() + found.withinMs);
  };
  return {
    start_by: dueBy('start'),
    complete_by: dueBy('complete'),
    missed: (sla_misses ?? []).map(({ kind, due_at, missed_at }) => ({
      kind,
      due_at: new Date(due_at),
      missed_at: new Date(missed_at),
    })),
  };
}

/** Columns `sla_missed` and `sla_missed_at` of a schedule `s`. */
export const scheduleSlaColumns = `case when s.definition->'sla' is null then 0 else (
      select coalesce(sum(m.count), 0)::int8 from cronwright.sla_misses m
      where m.tenant = s.tenant and m.schedule = s.id and m.missed_at > now() - interval '30 days') end as sla_missed,
    case when s.definition->'sla' is not null then (select max(m.missed_at) from cronwright.sla_misses m
      where m.tenant = s.tenant and m.schedule = s.id) end as sla_missed_at`;

export function toScheduleSla(
  sla: Sla | undefined,
  row: { sla_missed: number; sla_missed_at: Date | null },
): ScheduleSlaView | null {
  if (sla === undefined) return null;
  return {
    start_within_ms: sla.startWithinMs ?? null,
    complete_within_ms: sla.completeWithinMs ?? null,
    missed: row.sla_missed,
    last_missed_at: row.sla_missed_at,
  };
}
