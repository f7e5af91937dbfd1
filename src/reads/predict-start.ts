// When a run that waits is likely to start: from how long those before it usually take, and how fast its queue moves.
import type { RunFacts } from './explain-facts.ts';
import type { Explanation } from './explain-view.ts';

export interface Prediction {
  at: Date | null;
  /** From what it was taken, or why it cannot be told. */
  text: string;
}

/** Fewer ended runs say nothing of how long one takes. */
const leastRuns = 3;
const leastStarts = 5;

export function predictStart(run: Omit<Explanation, 'predicted_start' | 'prediction'>, facts: RunFacts): Prediction {
  const unknown = (text: string): Prediction => ({ at: null, text });
  if (run.ended) return unknown('it has ended');
  if (run.state === 'running' || run.state === 'rolling_back') return unknown('it runs');
  if (run.state === 'paused') return pauseEnd(run);
  if (run.waits.some((wait) => wait.kind !== 'timer')) return unknown('it depends on people');
  if (Object.keys(run.children).length > 0) return unknown('it depends on its child runs');
  if (run.state !== 'pending') {
    if (run.run_at) return { at: run.run_at, text: 'the time it waits for' };
    return unknown('nobody knows when it is told to go on');
  }
  if (run.pauses.length > 0) return pauseEnd(run);
  if (run.after) return unknown(`it depends on when a run of ${run.after.pipeline} completes`);
  if (run.blocked_on?.key === 'run_at') return { at: run.run_at, text: 'the time it was asked for' };
  if (run.blocked_on) return slotEnd(run.blocked_on, run.line?.ahead ?? 0, facts);
  if (!run.nodes.some((node) => node.can_take || node.why_not.every((why) => /^all its/.test(why)))) {
    return unknown('no living node can take it');
  }
  return turnOf(run, facts);
}

function pauseEnd(run: Pick<Explanation, 'pauses'>): Prediction {
  const until = run.pauses.map((pause) => pause.until);
  if (until.length === 0 || until.includes(null)) return { at: null, text: 'somebody has to resume it' };
  return { at: new Date(Math.max(...until.map((one) => one?.getTime() ?? 0))), text: 'the end of the pause' };
}

/** Its turn at the slot: those before it take the slots that are given back first. */
function slotEnd(slot: NonNullable<Explanation['blocked_on']>, ahead: number, facts: RunFacts): Prediction {
  if (slot.limit === 0) return { at: null, text: `nobody gives out slots of ${slot.key} any more` };
  const usual = new Map((facts.durations ?? []).map((one) => [one.pipeline, one]));
  const ends: number[] = [];
  for (const holder of slot.held_by) {
    const known = usual.get(holder.pipeline ?? '');
    if (!known || known.median_ms === null || known.runs < leastRuns || holder.since === null) {
      return {
        at: null,
        text: `too few runs of ${holder.pipeline ?? 'the holder'} have ended to tell how long one takes`,
      };
    }
    ends.push(Math.max(facts.at_ms, holder.since.getTime() + known.median_ms));
  }
  if (ends.length === 0) return { at: new Date(facts.at_ms), text: 'a slot is free' };
  ends.sort((a, b) => a - b);
  const medians = [...usual.values()].map((one) => one.median_ms ?? 0);
  const round = medians.reduce((sum, one) => sum + one, 0) / medians.length;
  const turn = (ends[ahead % ends.length] as number) + Math.floor(ahead / ends.length) * round;
  return { at: new Date(turn), text: 'how long runs like those that hold the slots took lately' };
}

function turnOf(run: Pick<Explanation, 'line' | 'nodes'>, { starts, at_ms }: RunFacts): Prediction {
  const ahead = run.line?.ahead ?? 0;
  if (ahead === 0 && run.nodes.some((node) => node.can_take)) {
    return { at: new Date(at_ms), text: 'it is next, and a place is free' };
  }
  if (starts.n < leastStarts || starts.since_ms === null || starts.since_ms >= at_ms) {
    return { at: null, text: 'too few runs of its queue have started lately to tell how fast it moves' };
  }
  const msEach = (at_ms - starts.since_ms) / starts.n;
  return {
    at: new Date(at_ms + (ahead + 1) * msEach),
    text: `its queue started a run every ${rounded(msEach)} lately`,
  };
}

function rounded(ms: number): string {
  return ms >= 10_000 ? `${Math.round(ms / 1_000)} s` : ms >= 10 ? `${Math.round(ms)} ms` : `${ms.toFixed(1)} ms`;
}
