// Checks what a step says of its results and its processes: a cache that cannot work, limits that nobody would keep.
import { existsSync } from 'node:fs';
import { compileTemplate } from '../domain/expressions/template.ts';
import type { PipelineCheck, PlacedStep } from './pipeline-check.ts';

export function checkStepOptions(check: PipelineCheck, placed: PlacedStep): void {
  checkCache(check, placed);
  checkLimits(check, placed);
  checkCompensation(check, placed);
  const { rateLimitKey: key } = placed.step;
  if (key !== undefined && secretsOf(key).length > 0) {
    const at = [...placed.path, 'rate_limit_key'];
    check.problem(at, { message: 'a key cannot hold a secret', expected: 'an expression without `secrets`' });
  }
}

function checkCompensation(check: PipelineCheck, { step, path }: PlacedStep): void {
  if (!step.compensate || check.catalogue.get(step.uses)?.compensates !== false) return;
  check.problem([...path, 'compensate'], {
    atKey: true,
    message: 'nothing that this step type does can be undone',
    got: step.uses,
    expected: 'a step type that says how it is undone, or no `compensate`',
  });
}

function checkCache(check: PipelineCheck, { step, path }: PlacedStep): void {
  if (!step.cache) return;
  const at = [...path, 'cache', 'key'];
  if (!step.cache.key.includes('${{')) {
    check.warning(at, {
      message: 'the key is the same for every run: the step runs once and then never until `ttl`',
      got: step.cache.key,
      expected: 'an expression of what the result depends on',
    });
  } else if (secretsOf(step.cache.key).length > 0) {
    check.problem(at, { message: 'a key cannot hold a secret', expected: 'an expression without `secrets`' });
  }
  const type = check.catalogue.get(step.uses);
  if (type?.workspace === 'writes') {
    check.warning([...path, 'cache'], {
      atKey: true,
      message: 'only the output is taken from the cache, not the files that the step writes into the workspace',
      got: step.uses,
    });
  }
}

function checkLimits(check: PipelineCheck, { step, path }: PlacedStep): void {
  const type = check.catalogue.get(step.uses);
  if (!step.limits || !type) return;
  const at = [...path, 'limits'];
  if (!type.obeysLimits) {
    check.problem(at, {
      atKey: true,
      message: 'this step type runs within the daemon and starts no program: it has no limits of its own',
      got: step.uses,
      expected: 'a step type that runs in a process, or shell.run',
    });
  } else if (!hasProcessTable() && (step.limits.memoryBytes !== undefined || step.limits.cpuMs !== undefined)) {
    check.warning(at, {
      atKey: true,
      message:
        'this machine has no /proc: memory and cpu hold for each process alone, as far as its shell can set them',
    });
  }
}

/** None where the key is broken, which is reported where its expressions are checked. */
function secretsOf(key: string): readonly string[] {
  try {
    return compileTemplate(key).secrets;
  } catch {
    return [];
  }
}

let hasProc: boolean | undefined;

function hasProcessTable(): boolean {
  hasProc ??= existsSync('/proc/self/stat');
  return hasProc;
}
