// Turns due schedules into what is to be committed: cursor moves, runs and ranges. Pure; one broken schedule stops no other.
import { uuidv7 } from 'uuidv7';
import { type DueAnswer, decideDue } from '../domain/due-occurrences.ts';
import { errorMessage } from '../domain/errors.ts';
import { createNewRun, type NewRun } from '../domain/new-run.ts';
import type { PipelineCatalog } from '../domain/pipeline-catalog.ts';
import { createScheduleClock } from '../domain/schedule-clock.ts';
import type { CursorMove, OccurrenceRange } from '../queue/commit-due.ts';
import type { DueScheduleRow } from '../queue/find-due-schedules.ts';

export interface DueBatch {
  moves: CursorMove[];
  runs: NewRun[];
  ranges: OccurrenceRange[];
  /** Schedules whose live runs make way for the newest. */
  replacements: { tenant: string; schedule: string; newest: string }[];
  broken: { tenant: string; schedule: string; error: string }[];
}

/** A schedule that cannot be decided is looked at again after this time; it stays owed. */
const brokenRetryMs = 60_000;

export function decideBatch(rows: readonly DueScheduleRow[], nowMs: number, catalog: PipelineCatalog): DueBatch {
  const batch: DueBatch = { moves: [], runs: [], ranges: [], replacements: [], broken: [] };
  for (const row of rows) {
    try {
      addDecisions(batch, row, nowMs, catalog);
    } catch (error) {
      const text = errorMessage(error);
      batch.broken.push({ tenant: row.tenant, schedule: row.id, error: text });
      batch.moves.push(move(row, row.cursorAt.getTime(), nowMs + brokenRetryMs, text));
    }
  }
  return batch;
}

function addDecisions(batch: DueBatch, row: DueScheduleRow, nowMs: number, catalog: PipelineCatalog): void {
  const { tenant, id, definition: schedule } = row;
  const pipeline = catalog.get(tenant, row.pipeline);
  if (!pipeline) throw new Error(`pipeline ${row.pipeline} is not in force on this node`);
  const answer = decideDue({
    schedule,
    clock: createScheduleClock(schedule),
    cursorMs: row.cursorAt.getTime(),
    nowMs,
    pauses: [
      ...row.scopePauses,
      ...(row.pausedAt ? [{ fromMs: row.pausedAt.getTime(), untilMs: row.pausedUntil?.getTime() ?? null }] : []),
    ],
    liveRuns: row.liveRuns,
  });
  const terms = catalog.termsOf(pipeline);
  const runs: NewRun[] = [];
  const ranges: OccurrenceRange[] = [];
  for (const decision of answer.decisions) {
    if (decision.outcome !== 'enqueue') {
      ranges.push({ ...decision, id: uuidv7(), tenant, schedule: id });
      continue;
    }
    const { at: nominalAt, nominalCount, late, cancelPrevious } = decision;
    const run = createNewRun(pipeline, terms, {
      origin: 'schedule',
      inputs: schedule.inputs,
      priority: schedule.priority,
      schedule: { id, nominalAt, nominalCount, late, exclusive: schedule.overlap !== 'allow' },
    });
    runs.push(run);
    if (cancelPrevious) batch.replacements.push({ tenant, schedule: id, newest: run.id });
  }
  batch.runs.push(...runs);
  batch.ranges.push(...ranges);
  batch.moves.push(moveOf(row, answer, runs.at(-1), nowMs));
}

function moveOf(row: DueScheduleRow, answer: DueAnswer, last: NewRun | undefined, nowMs: number): CursorMove {
  const isPauseOver = row.pausedUntil !== null && row.pausedUntil.getTime() <= nowMs;
  // While paused with an end, the paused times are recorded when the pause ends.
  const nextMs = row.pausedUntil && !isPauseOver ? row.pausedUntil.getTime() : answer.nextDueMs;
  return {
    ...move(row, answer.cursorMs, nextMs, null),
    clearPause: isPauseOver,
    lastRunId: last?.id ?? null,
    lastNominalAt: last?.nominalAt ?? null,
  };
}

function move(row: DueScheduleRow, cursorMs: number, nextMs: number | null, error: string | null): CursorMove {
  return {
    tenant: row.tenant,
    schedule: row.id,
    version: row.version,
    cursorAt: new Date(cursorMs),
    nextAt: nextMs === null ? null : new Date(nextMs),
    clearPause: false,
    lastRunId: null,
    lastNominalAt: null,
    error,
  };
}
