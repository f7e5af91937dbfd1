// Evaluates a step's `with` and `env` for one attempt; secrets are looked up now and never stored.
import type { KeptValue } from '../domain/expressions/kept-value.ts';
import type { Scope } from '../domain/expressions/scope.ts';
import type { Evaluation, Template } from '../domain/expressions/template.ts';
import type { StoredError } from '../domain/outcome.ts';
import { toStoredError } from '../steps/classify-error.ts';
import { SecretMask } from '../steps/secret-mask.ts';
import type { Secrets } from '../store/secrets.ts';
import type { CompiledStep } from './compiled-pipeline.ts';
import type { ExecuteDeps } from './execute-deps.ts';
import { type LiveRun, stepKey } from './live-run.ts';

export type StepInput =
  | { ok: true; value: unknown; env: Readonly<Record<string, string>>; secrets: readonly string[] }
  | { ok: false; error: StoredError };

type Item = { index: number; value: unknown } | undefined;
type InputDeps = Pick<ExecuteDeps, 'secrets' | 'baseEnv'>;

/** At once where the step names no secret, as most do. */
export function evaluateInput(
  run: LiveRun,
  step: CompiledStep,
  item: Item,
  deps: InputDeps,
): StepInput | Promise<StepInput> {
  const { input, env } = step;
  const hasSecrets = input.secrets.length + env.secrets.length > 0;
  const evaluated = hasSecrets
    ? evaluateWithSecrets(run, step, item, [...env.secrets, ...input.secrets], deps)
    : evaluateIn(run.scope, step, item, {}, deps);
  if (run.edits === undefined) return evaluated;
  const edits = run.edits.get(stepKey(step.definition.id, item?.index)) ?? {};
  return evaluated instanceof Promise
    ? evaluated.then((found) => withEdits(found, edits))
    : withEdits(evaluated, edits);
}

/** What people and repairs gave replaces whole fields, as it is: nothing in it is evaluated. */
function withEdits(evaluated: StepInput, edits: Readonly<Record<string, unknown>>): StepInput {
  return evaluated.ok ? { ...evaluated, value: { ...(evaluated.value as object), ...edits } } : evaluated;
}

/** The same input with secrets left as references, for what is kept beyond the attempt. */
export function keepInput(run: LiveRun, step: CompiledStep, item: Item, deps: InputDeps): Evaluation<KeptValue> {
  const env = step.env.keep(run.scope);
  if (!env.ok) return env;
  const plain = env.value.value as Record<string, string>;
  const withSecrets = env.value.secrets.map(({ path }) => String(path[0]));
  const variables = Object.fromEntries(Object.entries(plain).filter(([name]) => !withSecrets.includes(name)));
  const scope = { ...run.scope, env: { ...deps.baseEnv, ...variables } };
  const kept = step.input.keep(item === undefined ? scope : { ...scope, item: item.value, index: item.index });
  const edits = run.edits?.get(stepKey(step.definition.id, item?.index));
  if (kept.ok && edits) return { ok: true, value: keptWithEdits(kept.value, edits) };
  if (kept.ok || withSecrets.length === 0) return kept;
  const hint = `a secret cannot come by way of env (${withSecrets.join(', ')}) where the input is kept: name it in \`with\``;
  return { ok: false, error: { ...kept.error, message: `${kept.error.message}; ${hint}` } };
}

function keptWithEdits(kept: KeptValue, edits: Readonly<Record<string, unknown>>): KeptValue {
  const secrets = kept.secrets.filter(({ path }) => !Object.hasOwn(edits, String(path[0])));
  return { value: { ...(kept.value as object), ...edits }, secrets };
}

async function evaluateWithSecrets(
  run: LiveRun,
  step: CompiledStep,
  item: Item,
  names: readonly string[],
  deps: InputDeps,
): Promise<StepInput> {
  const secrets: Record<string, string> = {};
  for (const name of names) {
    const value = await findSecret(deps.secrets, name);
    if (value === undefined) return missingSecret(step, name);
    if (typeof value !== 'string') return { ok: false, error: value };
    secrets[name] = value;
  }
  return evaluateIn({ ...run.scope, secrets }, step, item, secrets, deps);
}

function evaluateIn(
  within: Scope,
  { input, env }: CompiledStep,
  item: Item,
  secrets: Readonly<Record<string, string>>,
  deps: InputDeps,
): StepInput {
  let scope = within;
  const evaluatedEnv = evaluate(env, scope);
  if (!evaluatedEnv.ok) return evaluatedEnv;
  const variables = { ...deps.baseEnv, ...(evaluatedEnv.value as Record<string, string>) };
  if (!input.isStatic) {
    scope = { ...scope, env: variables, ...(item === undefined ? {} : { item: item.value, index: item.index }) };
  }
  const value = evaluate(input, scope);
  if (!value.ok) return value;
  return { ok: true, value: value.value, env: variables, secrets: Object.values(secrets) };
}

/** The source of a secret (a file, say) may fail: that is the step's error, and a retry may help. */
async function findSecret(secrets: Secrets, name: string): Promise<string | StoredError | undefined> {
  try {
    return await secrets.get(name);
  } catch (error) {
    const stored = toStoredError(error, new SecretMask([]));
    return { ...stored, message: `secrets.${name}: ${stored.message}` };
  }
}

function evaluate(template: Template, scope: Scope): { ok: true; value: unknown } | { ok: false; error: StoredError } {
  return template.evaluate(scope);
}

function missingSecret(step: CompiledStep, name: string): StepInput {
  return {
    ok: false,
    error: {
      name: 'MissingSecret',
      message: `step ${step.definition.id} names secrets.${name}, and there is no secret of that name`,
      class: 'fatal',
    },
  };
}
