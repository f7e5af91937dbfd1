// Reads what a step asks by `ctx.suspend`: checked, with its defaults, under a key that is the same when the step runs again.
import { type AskedKind, askedKinds, type Question, type TimeoutPolicy, timeoutPolicies } from '../domain/wait.ts';
import { StepError, type Suspension } from './api.ts';

const keyPattern = /^[\x21-\x7e]{1,200}$/;
/** 100 years: a wait beyond that is meant to have no end. */
const longestMs = 100 * 365 * 86_400_000;
const longestMessage = 4_000;
const mostNames = 100;

/** Throws a fatal `InvalidSuspension`. `ordinals` counts what was asked without a key; `clean` masks. */
export function readSuspension(
  given: Suspension,
  ordinals: Map<string, number>,
  clean: (text: string) => string,
): Question {
  const { kind, message, form, timeoutMs, startedByMayAnswer = true } = given ?? {};
  if (!askedKinds.includes(kind as AskedKind)) throw invalid('kind', kind, askedKinds.join(', '));
  if (timeoutMs !== undefined && !(Number.isFinite(timeoutMs) && timeoutMs >= 0 && timeoutMs <= longestMs)) {
    throw invalid('timeoutMs', timeoutMs, 'milliseconds, at most 100 years');
  }
  if (kind === 'timer' && timeoutMs === undefined) throw invalid('timeoutMs', timeoutMs, 'how long a timer sleeps');
  if (message !== undefined && typeof message !== 'string') throw invalid('message', message, 'text');
  if (typeof startedByMayAnswer !== 'boolean') throw invalid('startedByMayAnswer', startedByMayAnswer, 'true or false');
  return {
    kind,
    key: clean(keyOf(given, ordinals)),
    message: message === undefined ? null : clean(message).slice(0, longestMessage),
    form: form ?? null,
    choices: names('choices', given.choices)?.map(clean) ?? null,
    approvers: names('approvers', given.approvers)?.map(clean) ?? null,
    starterMayAnswer: startedByMayAnswer,
    timeoutMs: timeoutMs ?? null,
    onTimeout: policyOf(given),
  };
}

function keyOf({ kind, key }: Suspension, ordinals: Map<string, number>): string {
  if (key !== undefined) {
    if (typeof key === 'string' && keyPattern.test(key)) return key;
    throw invalid('key', key, '1 to 200 visible ASCII characters');
  }
  const n = (ordinals.get(kind) ?? 0) + 1;
  ordinals.set(kind, n);
  return `${kind}/${n}`;
}

function policyOf({ kind, onTimeout }: Suspension): TimeoutPolicy {
  if (kind === 'timer') return 'continue';
  if (onTimeout === undefined) return 'fail';
  if (timeoutPolicies.includes(onTimeout)) return onTimeout;
  throw invalid('onTimeout', onTimeout, timeoutPolicies.join(', '));
}

function names(field: string, list: readonly string[] | undefined): string[] | undefined {
  if (list === undefined) return undefined;
  const isList = Array.isArray(list) && list.length > 0 && list.length <= mostNames;
  if (isList && list.every((name) => typeof name === 'string' && name.length > 0 && name.length <= 200))
    return [...list];
  throw invalid(field, list, `a list of 1 to ${mostNames} names`);
}

function invalid(field: string, got: unknown, expected: string): StepError {
  const shown = (JSON.stringify(got) ?? 'nothing').slice(0, 200);
  return new StepError('fatal', `suspend: ${field} is ${shown}, expected ${expected}`, { name: 'InvalidSuspension' });
}
