import { describe, expect, it } from 'vitest';
import { createRunDisplay } from '../../../src/cli/run-display.ts';
import type { RunDetail } from '../../../src/reads/get-run.ts';
import type { StepView } from '../../../src/reads/run-steps.ts';
import { memoryContext } from './memory-context.ts';

function runWith(fields: Partial<RunDetail>): RunDetail {
  const run = { id: 'an-id', pipeline: 'report', state: 'running', dry_run: false, progress: 0, step: null };
  return { ...run, message: null, finished_at: null, duration_ms: null, error: null, ...fields } as RunDetail;
}

function step(name: string, state: StepView['state'], fields: Partial<StepView> = {}): StepView {
  return { step: name, state, attempts: 1, items: null, error: null, duration_ms: null, ...fields } as StepView;
}

function line(name: string, text: string) {
  return { at: '2026-03-01T12:00:00.123Z', level: 'info', step: name, item: null, attempt: 1, stream: 'stdout', text };
}

describe('a run as it goes', () => {
  it('tells each change of a step once, its log between beginning and end', () => {
    const context = memoryContext();
    const display = createRunDisplay(context);
    const run = runWith({});
    display.update({ run, steps: [step('fetch', 'pending'), step('write', 'pending')], lines: [] });
    display.update({ run, steps: [step('fetch', 'running'), step('write', 'pending')], lines: [] });
    display.update({ run, steps: [step('fetch', 'running'), step('write', 'pending')], lines: [] });
    const steps = [step('fetch', 'completed', { duration_ms: 1_200, attempts: 2 }), step('write', 'running')];
    display.update({ run, steps, lines: [line('fetch', 'got it\u001b[2J\n')] });
    display.end(runWith({ state: 'completed', duration_ms: 61_000 }));
    expect(context.out().split('\n')).toEqual([
      'report  an-id',
      'fetch  running',
      'write  running',
      '  12:00:00.123 fetch  got it',
      'fetch  completed  1.2 s  try 2',
      'completed after 1 min 1 s',
      '',
    ]);
  });

  it('ends with the error of a run that failed, on one safe line', () => {
    const context = memoryContext();
    const error = { name: 'ExitCodeError', message: 'step x: \u001b[31mexit 3', class: 'fatal' };
    createRunDisplay(context).end(runWith({ state: 'failed', error }));
    expect(context.out()).toBe('failed\nExitCodeError: step x: exit 3\n');
  });

  it('keeps a bar below at a terminal, no wider than it, and takes it away', () => {
    const base = memoryContext();
    const context = { ...base, stdout: { ...base.stdout, isTTY: true, columns: 30 } };
    const display = createRunDisplay(context);
    display.update({ run: runWith({ progress: 40, step: 'fetch', message: 'a long message' }), steps: [], lines: [] });
    expect(base.out()).toBe('report  an-id\n████████░░░░░░░░░░░░ 40 % fe…');
    display.clear();
    display.clear();
    expect(base.out().endsWith('fe…\r\u001b[K')).toBe(true);
  });
});
