// Makes durable that steps which take longer than a moment have begun, and what they tell meanwhile, so that everyone can see it.
import type { Clock } from '../base/clock.ts';
import type { Service } from '../base/service.ts';
import type { ExecuteDeps } from './execute-deps.ts';
import { flushRun } from './flush-run.ts';
import { type LiveRun, noteStep } from './live-run.ts';

const everyMs = 500;
/** A step younger than this may end before anyone could look. */
const youngMs = 400;

export function createLazyStarts(options: {
  runs: ReadonlyMap<string, LiveRun>;
  deps: ExecuteDeps;
  clock: Clock;
}): Service {
  let timer: NodeJS.Timeout | undefined;

  function tellStarts(): void {
    const { clock } = options;
    for (const run of options.runs.values()) {
      let isTold = false;
      let isLong = false;
      for (const one of run.running.values()) {
        isLong ||= one.toldAt;
        const startedAt = one.progress.startedAt?.getTime() ?? clock.now();
        if (one.toldAt || one.progress.state !== 'running' || clock.now() - startedAt < youngMs) continue;
        one.toldAt = true;
        isTold = true;
        noteStep(
          run,
          one.step,
          undefined,
          one.progress,
          { event: 'step.started', attempt: one.progress.attempts },
          clock,
        );
      }
      // What a long step tells of itself is for now, not for its end.
      if (isTold || (isLong && run.unwritten.transitions.length > 0)) void flushRun(run, options.deps, true);
    }
  }

  return {
    name: 'lazy-starts',
    async start() {
      timer ??= setInterval(tellStarts, everyMs);
    },
    async stop() {
      clearInterval(timer);
      timer = undefined;
    },
  };
}
