// One event of the live stream: its JSON, made once, and what filters look at.
import { z } from 'zod';
import type { HistoryEntry } from '../../reads/live-history.ts';
import { eventsOfRow, eventView } from '../../reads/run-events.ts';
import { type OlderName, olderNamesOf } from './older-names.ts';

/** The envelope of every event, and the data of an SSE message. */
export const liveEventView = eventView
  .extend({
    run_id: z.string().nullable().describe('null: an alert that concerns no run'),
    seq: z
      .int()
      .nullable()
      .describe('1, 2, 3, … without a hole in a run; null: an alert, which cannot be asked for again'),
    tenant: z.string().nullable(),
    pipeline: z.string().nullable(),
    schedule: z.string().nullable(),
  })
  .meta({ id: 'LiveEvent' });

export interface LiveEvent {
  name: string;
  runId: string | null;
  seq: number | null;
  tenant: string | null;
  pipeline: string | null;
  schedule: string | null;
  json: string;
  step?: string | null;
  /** What older systems call it. */
  older?: readonly OlderName[];
}

export function eventsOf(entry: HistoryEntry): LiveEvent[] {
  const { runId, tenant, pipeline, schedule, isPart = false } = entry;
  return eventsOfRow(entry).map(({ seq, ...told }) => {
    const json = JSON.stringify({ run_id: runId, seq, tenant, pipeline, schedule, ...told });
    const older = olderNamesOf(told, isPart);
    return { name: told.event, runId, seq, tenant, pipeline, schedule, json, step: told.step, older };
  });
}

export interface AlertFacts {
  name: string;
  atMs: number;
  node: string;
  runId?: string | undefined;
  tenant?: string | undefined;
  pipeline?: string | undefined;
  schedule?: string | undefined;
  step?: string | undefined;
  reason?: string | undefined;
  data?: unknown;
}

/** An event without a number: it is told once to those who listen, and kept nowhere. */
export function alertEvent(facts: AlertFacts): LiveEvent {
  const { name, atMs, node } = facts;
  const [runId, tenant, pipeline] = [facts.runId ?? null, facts.tenant ?? null, facts.pipeline ?? null];
  const schedule = facts.schedule ?? null;
  const json = JSON.stringify({
    run_id: runId,
    seq: null,
    tenant,
    pipeline,
    schedule,
    at: new Date(atMs).toISOString(),
    event: name,
    from: null,
    to: null,
    step: facts.step ?? null,
    item: null,
    attempt: null,
    node,
    actor: null,
    reason: facts.reason ?? null,
    data: facts.data ?? null,
  });
  const older = olderNamesOf({ event: name }, false);
  return { name, runId, seq: null, tenant, pipeline, schedule, json, older };
}
