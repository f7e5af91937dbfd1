// Makes the beginning of steps that take longer than a moment durable, so that everyone can see what runs.
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
      for (const one of run.running.values()) {
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
      if (isTold) void flushRun(run, options.deps);
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
