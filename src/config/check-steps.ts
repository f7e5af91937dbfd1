// Checks how the steps of a pipeline hang together: ids, needs, cycles, step types, options that belong to others.
import { closestWord } from '../domain/closest-word.ts';
import { checkChildren } from './check-children.ts';
import { checkStepOptions } from './check-step-options.ts';
import type { PipelineCheck, PlacedCall, PlacedStep, StepCheck } from './pipeline-check.ts';
import { valueAt } from './zod-problems.ts';

export function checkSteps(check: PipelineCheck): void {
  const main = check.steps.filter(({ path }) => path[0] === 'steps');
  checkIds(check);
  for (const placed of check.steps) {
    checkNeeds(check, placed, main);
    if (placed.isWhole) {
      checkUses(check, placed);
      checkOptions(check, placed);
      checkChildren(check, placed);
      checkRetry(check, [...placed.path, 'retry', 'on']);
      checkFailureRules(check, placed);
      checkStepOptions(check, placed);
    }
  }
  checkRetry(check, ['retry', 'on']);
  checkCycles(check, main);
}

function checkIds(check: PipelineCheck): void {
  const seen = new Set<string>();
  for (const { step, path } of check.steps) {
    if (step.id !== '' && seen.has(step.id)) {
      check.problem([...path, 'id'], {
        message: 'two steps have the same id',
        got: step.id,
        expected: 'an id of its own',
      });
    }
    seen.add(step.id);
  }
}

function checkNeeds(check: PipelineCheck, { step, path }: PlacedStep, main: readonly PlacedStep[]): void {
  const written = valueAt(check.document.value, [...path, 'needs']);
  if (written === undefined) return;
  if (path[0] !== 'steps') {
    check.problem([...path, 'needs'], {
      atKey: true,
      message: `steps of ${String(path[0])} run in order`,
      expected: 'no `needs`',
    });
    return;
  }
  const ids = main.map((placed) => placed.step.id).filter((id) => id !== '');
  for (const [index, id] of step.needs.entries()) {
    const at = typeof written === 'string' ? [...path, 'needs'] : [...path, 'needs', index];
    if (id === step.id) {
      check.problem(at, { message: 'a step cannot need itself', got: id });
    } else if (step.needs.indexOf(id) < index) {
      check.problem(at, { message: 'the step is named twice', got: id, expected: 'each step once' });
    } else if (!ids.includes(id)) {
      const meant = closestWord(id, ids);
      const message = meant === undefined ? 'unknown step' : `unknown step; did you mean "${meant}"?`;
      check.problem(at, {
        message,
        got: id,
        expected: `one of: ${ids.filter((other) => other !== step.id).join(', ')}`,
      });
    }
  }
}

export function checkUses(check: StepCheck, { step, path }: PlacedCall): void {
  if (check.catalogue.get(step.uses)) return;
  const types = check.catalogue.list().map(({ id }) => id);
  const meant = closestWord(step.uses, types);
  const message = meant === undefined ? 'unknown step type' : `unknown step type; did you mean "${meant}"?`;
  const plugin = step.uses.split('.')[0] ?? '';
  const related = types.filter((id) => id.startsWith(`${plugin}.`));
  const expected =
    related.length > 0
      ? `one of: ${related.join(', ')}`
      : 'a step type of a built-in plugin or of one listed under `plugins` in cronwright.yaml';
  check.problem([...path, 'uses'], { message, got: step.uses, expected });
}

function checkOptions(check: PipelineCheck, { step, path }: PlacedStep): void {
  for (const key of ['max_parallel', 'on_item_error']) {
    if (step.foreach || valueAt(check.document.value, [...path, key]) === undefined) continue;
    check.problem([...path, key], { atKey: true, message: 'this means nothing without `foreach`', got: key });
  }
}

/** Clean-up is carried through, and waits for nobody; a choice needs what it chooses. */
function checkFailureRules(check: PipelineCheck, { step, path }: PlacedStep): void {
  for (const key of ['on_exhausted', 'on_error']) {
    if (path[0] === 'steps' || valueAt(check.document.value, [...path, key]) === undefined) continue;
    const message = `steps of ${String(path[0])} end the run, and nothing waits for them`;
    check.problem([...path, key], { atKey: true, message, got: key });
  }
  for (const [name, { choose, aiFix }] of Object.entries(step.onError ?? {})) {
    const at = [...path, 'on_error', name];
    if (aiFix) checkUses(check, { step: aiFix, path: [...at, 'ai_fix'] });
    if (choose.includes('ai_fix') && !aiFix) {
      check.problem([...at, 'choose'], {
        message: 'nothing says how `ai_fix` repairs',
        expected: '`ai_fix` beside it',
      });
    } else if (aiFix && !choose.includes('ai_fix')) {
      check.problem([...at, 'ai_fix'], {
        atKey: true,
        message: 'nobody can choose it',
        expected: '`ai_fix` in `choose`',
      });
    }
  }
}

const errorClasses = ['transient', 'rate_limited', 'item'];

/** `on` takes classes and error names; what is neither was meant as one of them. */
function checkRetry(check: PipelineCheck, path: readonly (string | number)[]): void {
  const on = valueAt(check.document.value, path);
  if (!Array.isArray(on)) return;
  for (const [index, name] of on.entries()) {
    if (typeof name !== 'string' || errorClasses.includes(name) || /^[A-Z][A-Za-z0-9_]*$/.test(name)) continue;
    const meant = closestWord(name, errorClasses);
    const message =
      name === 'fatal'
        ? 'fatal errors are never retried'
        : meant === undefined
          ? 'neither an error class nor an error name'
          : `unknown error class; did you mean "${meant}"?`;
    check.problem([...path, index], {
      message,
      got: name,
      expected: `${errorClasses.join(', ')}, or a name such as TimeoutError`,
    });
  }
}

/** Names each cycle once, at the first of its steps in the file. */
function checkCycles(check: PipelineCheck, main: readonly PlacedStep[]): void {
  const byId = new Map(main.map((placed) => [placed.step.id, placed]));
  const done = new Set<string>();
  for (const start of main) {
    const trail: string[] = [];
    visit(start.step.id, trail);
  }

  function visit(id: string, trail: string[]): void {
    const placed = byId.get(id);
    if (!placed || done.has(id)) return;
    const seenAt = trail.indexOf(id);
    if (seenAt >= 0) {
      report(trail.slice(seenAt));
      return;
    }
    trail.push(id);
    for (const needed of placed.step.needs) if (needed !== id) visit(needed, trail);
    trail.pop();
    done.add(id);
  }

  function report(cycle: readonly string[]): void {
    const first = main.find(({ step }) => cycle.includes(step.id));
    if (!first) return;
    const from = cycle.indexOf(first.step.id);
    const ordered = [...cycle.slice(from), ...cycle.slice(0, from), first.step.id];
    check.problem([...first.path, 'needs'], {
      atKey: true,
      message: `steps need each other in a circle: ${ordered.join(' → ')}`,
      expected: 'steps that can be put in an order',
    });
  }
}
