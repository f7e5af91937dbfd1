// What a client of the live stream wants to hear: fields of its query, and whether an event fits.
import { z } from 'zod';
import { says } from '../../config/schema-parts.ts';
import { isUuid } from '../../reads/cursor.ts';
import { tenantPattern } from '../caller.ts';
import { instantText } from '../routes/fields.ts';
import { beginsEventName } from './event-names.ts';
import type { LiveEvent } from './live-event.ts';

/** A list with commas. What can never fit is a mistake, and silence would not tell. */
function words(expected: string, isPossible: (word: string) => boolean = () => true) {
  return z
    .string()
    .max(10_000)
    .superRefine((text, context) => {
      const list = splitWords(text);
      const wrong = list.find((word) => !isPossible(word));
      if (list.length > 0 && wrong === undefined) return;
      const what = wrong === undefined ? 'an empty list' : `${JSON.stringify(wrong.slice(0, 100))} is not possible`;
      context.addIssue({ code: 'custom', message: says(what, expected) });
    });
}

const tenantOrAll = new RegExp(`^\\*$|${tenantPattern.source}`);

/** The fields of `/events` and `/ws`, and of a WebSocket's subscribe message. */
export const liveQuery = z.strictObject({
  tenant: z
    .string()
    .regex(tenantOrAll, says('not a tenant', `* or ${tenantPattern.source}`))
    .optional()
    .describe('instead of the header Cronwright-Tenant; * for all'),
  pipeline: words('ids of pipelines').optional().describe('with commas: only of these pipelines'),
  schedule: words('ids of schedules (pipeline.schedule)')
    .optional()
    .describe('with commas: only of these schedules (pipeline.schedule)'),
  run: words('ids of runs, which are UUIDs', isUuid).optional().describe('with commas: only of these runs'),
  event: words('beginnings of names in docs/LIVE.md, such as run. or step.failed', beginsEventName)
    .optional()
    .describe('with commas: only names that begin so, such as run. or step.failed'),
  last_event_id: z
    .string()
    .min(1)
    .max(500)
    .optional()
    .describe('go on after this event; the header Last-Event-ID wins, which browsers send when they connect again'),
  from: instantText.optional().describe('begin at this instant instead of now'),
  names: z
    .enum(['own', 'legacy'])
    .optional()
    .describe('legacy: events have their older names, such as PHASE_STARTED; what has none is not told'),
});

export type LiveQuery = z.output<typeof liveQuery>;

export interface LiveFilter {
  /** Null: all. */
  tenant: string | null;
  pipelines: ReadonlySet<string> | null;
  schedules: ReadonlySet<string> | null;
  runs: ReadonlySet<string> | null;
  /** Beginnings of names. */
  events: readonly string[] | null;
  /** In older words. */
  isLegacy: boolean;
  /** The same for filters that let the same through. */
  key: string;
}

export function readFilter(query: LiveQuery, tenantOfCaller: string): LiveFilter {
  const tenant = query.tenant ?? tenantOfCaller;
  const texts = [query.pipeline, query.schedule, query.run?.toLowerCase(), query.event];
  const lists = texts.map((text) => (text === undefined ? undefined : splitWords(text)));
  const [pipelines, schedules, runs, events] = lists;
  return {
    tenant: tenant === '*' ? null : tenant,
    pipelines: setOf(pipelines),
    schedules: setOf(schedules),
    runs: setOf(runs),
    events: events ?? null,
    isLegacy: query.names === 'legacy',
    key: JSON.stringify([tenant, ...lists.map((list) => list ?? null), query.names === 'legacy']),
  };
}

/** What concerns no tenant, such as an alert of a node, is for every tenant; a pipeline or a run is asked for by name. */
export function fits(filter: LiveFilter, event: LiveEvent): boolean {
  if (filter.tenant !== null && event.tenant !== null && event.tenant !== filter.tenant) return false;
  if (filter.pipelines !== null && !filter.pipelines.has(event.pipeline ?? '')) return false;
  if (filter.schedules !== null && !filter.schedules.has(event.schedule ?? '')) return false;
  if (filter.runs !== null && !filter.runs.has(event.runId ?? '')) return false;
  return filter.events === null || filter.events.some((start) => event.name.startsWith(start));
}

function splitWords(text: string): string[] {
  const all = text.split(',').map((word) => word.trim());
  return [...new Set(all.filter((word) => word !== ''))].sort();
}

function setOf(list: readonly string[] | undefined): ReadonlySet<string> | null {
  return list === undefined ? null : new Set(list);
}
