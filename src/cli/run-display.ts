// Shows a run as it goes: a line for each step that changed, the log between them, and at a terminal a bar below.
import type { RunDetail } from '../reads/get-run.ts';
import type { LogLineView } from '../reads/run-logs.ts';
import type { StepView } from '../reads/run-steps.ts';
import type { CliContext } from './cli-context.ts';
import { showLogLine } from './logs.ts';
import { plainText } from './plain-text.ts';
import { printLine } from './print.ts';
import { paintState, progressBar } from './show-state.ts';
import { showDuration } from './show-time.ts';
import { clip } from './table.ts';

export interface RunDisplay {
  update(now: { run: RunDetail; steps: readonly StepView[]; lines: readonly LogLineView[] }): void;
  /** The last words. */
  end(run: RunDetail): void;
  /** Takes the bar away. Safe twice. */
  clear(): void;
}

export function createRunDisplay(context: CliContext): RunDisplay {
  const told = new Map<string, StepView['state']>();
  const { bold, dim, red } = context.stdout.colors;
  let hasBar = false;

  function clear(): void {
    if (hasBar) context.stdout.write('\r\u001b[K');
    hasBar = false;
  }

  function tell(step: StepView): void {
    const before = told.get(step.step) ?? 'pending';
    if (step.state === before) return;
    told.set(step.step, step.state);
    printLine(context, stepLine(context, step));
  }

  return {
    clear,
    update({ run, steps, lines }) {
      clear();
      if (told.size === 0) {
        told.set('', 'pending');
        printLine(context, `${bold(run.pipeline)}  ${dim(run.id)}${run.dry_run ? '  dry run' : ''}`);
      }
      // What began comes before its log, what ended after it.
      for (const step of steps) if (step.state === 'running') tell(step);
      for (const line of lines) printLine(context, `  ${showLogLine(context, line)}`);
      for (const step of steps) if (step.state !== 'running') tell(step);
      if (context.stdout.isTTY && run.finished_at === null) {
        context.stdout.write(clip(barLine(run), context.stdout.columns - 1));
        hasBar = true;
      }
    },
    end(run) {
      clear();
      const took = run.duration_ms === null ? '' : ` after ${showDuration(run.duration_ms)}`;
      printLine(context, `${paintState(context.stdout.colors, run.state)}${took}`);
      if (run.error) printLine(context, red(plainText(`${run.error.name}: ${run.error.message}`)));
    },
  };
}

function stepLine(context: CliContext, step: StepView): string {
  const { colors } = context.stdout;
  const state = paintState(colors, step.state);
  const took = step.state === 'running' || step.duration_ms === null ? '' : `  ${showDuration(step.duration_ms)}`;
  const tries = step.attempts > 1 ? `  try ${step.attempts}` : '';
  const items = step.items === null ? '' : `  ${step.items.completed}/${step.items.total} items`;
  const error = step.error === null ? '' : `  ${colors.red(clip(step.error.message, 100))}`;
  return `${colors.bold(step.step)}  ${state}${took}${tries}${items}${error}`;
}

function barLine(run: RunDetail): string {
  return [progressBar(run.progress), run.step ?? run.state, run.message ?? ''].filter((part) => part !== '').join('  ');
}
