// Says what is wrong with the shape of a plugin, before anything of it is used.
import type { PluginDefinition } from './api.ts';

/** The plugin API that this version speaks. */
const pluginApiVersion = 1;

export const pluginName = /^[a-z][a-z0-9_-]*$/;
const stepName = /^[a-z][a-z0-9_]*$/;
const semanticVersion = /^\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]+)?$/;
const choices: Record<string, readonly string[]> = {
  effects: ['none', 'outside'],
  dryRun: ['handled'],
  limits: ['obeyed'],
  idempotency: ['natural', 'keyed', 'none'],
  isolation: ['inline', 'process'],
  weight: ['light', 'heavy'],
  workspace: ['none', 'writes', 'reads'],
};

/** Each thing that is wrong: what was got and what was expected. Empty where the value is a PluginDefinition. */
export function checkPlugin(value: unknown): string[] {
  if (!isRecord(value)) return [`the default export is ${kindOf(value)}, expected what definePlugin returns`];
  if (value.apiVersion !== pluginApiVersion) {
    return [`apiVersion is ${show(value.apiVersion)}, this version of Cronwright speaks ${pluginApiVersion}`];
  }
  const problems: string[] = [];
  if (typeof value.name !== 'string' || !pluginName.test(value.name)) {
    problems.push(`name is ${show(value.name)}, expected ${pluginName.source}`);
  }
  if (typeof value.version !== 'string' || !semanticVersion.test(value.version)) {
    problems.push(`version is ${show(value.version)}, expected a semantic version such as 1.0.0`);
  }
  if (!isRecord(value.steps)) problems.push(`steps is ${kindOf(value.steps)}, expected an object of step definitions`);
  else for (const [name, step] of Object.entries(value.steps)) problems.push(...checkStep(name, step));
  if (value.sensors === undefined) return problems;
  if (!isRecord(value.sensors))
    return [...problems, `sensors is ${kindOf(value.sensors)}, expected an object of sensors`];
  for (const [name, sensor] of Object.entries(value.sensors)) problems.push(...checkSensor(name, sensor));
  return problems;
}

export function isPlugin(value: unknown): value is PluginDefinition {
  return checkPlugin(value).length === 0;
}

function checkStep(name: string, step: unknown): string[] {
  const problems: string[] = [];
  if (!stepName.test(name)) problems.push(`step name is ${show(name)}, expected ${stepName.source}`);
  if (!isRecord(step)) return [...problems, `steps.${name} is ${kindOf(step)}, expected what defineStep returns`];
  if (typeof step.run !== 'function') problems.push(`steps.${name}.run is ${kindOf(step.run)}, expected a function`);
  if (step.compensate !== undefined && typeof step.compensate !== 'function') {
    problems.push(`steps.${name}.compensate is ${kindOf(step.compensate)}, expected a function`);
  }
  if (step.irreversible !== undefined && !(typeof step.irreversible === 'string' && step.irreversible.trim() !== '')) {
    problems.push(`steps.${name}.irreversible is ${show(step.irreversible)}, expected a sentence that says why`);
  }
  if (step.compensate !== undefined && step.irreversible !== undefined) {
    problems.push(`steps.${name} has both compensate and irreversible, expected one of them`);
  }
  for (const key of ['input', 'output']) {
    if (!isStandardSchema(step[key])) {
      problems.push(`steps.${name}.${key} is ${kindOf(step[key])}, expected a Standard Schema (zod, valibot, arktype)`);
    }
  }
  for (const [key, allowed] of Object.entries(choices)) {
    const got = step[key];
    if (got !== undefined && !(typeof got === 'string' && allowed.includes(got))) {
      problems.push(`steps.${name}.${key} is ${show(got)}, expected ${allowed.join(' or ')}`);
    }
  }
  return problems;
}

function checkSensor(name: string, sensor: unknown): string[] {
  const problems: string[] = [];
  if (!stepName.test(name)) problems.push(`sensor name is ${show(name)}, expected ${stepName.source}`);
  if (!isRecord(sensor))
    return [...problems, `sensors.${name} is ${kindOf(sensor)}, expected what defineSensor returns`];
  if (typeof sensor.check !== 'function') {
    problems.push(`sensors.${name}.check is ${kindOf(sensor.check)}, expected a function`);
  }
  for (const key of ['input', 'event']) {
    if (isStandardSchema(sensor[key])) continue;
    problems.push(
      `sensors.${name}.${key} is ${kindOf(sensor[key])}, expected a Standard Schema (zod, valibot, arktype)`,
    );
  }
  for (const [key, allowed] of Object.entries({ first: ['run', 'skip'], isolation: ['inline', 'process'] })) {
    const got = sensor[key];
    if (got === undefined || (typeof got === 'string' && allowed.includes(got))) continue;
    problems.push(`sensors.${name}.${key} is ${show(got)}, expected ${allowed.join(' or ')}`);
  }
  return problems;
}

/** Some libraries' schemas are functions. */
function isStandardSchema(value: unknown): boolean {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return false;
  const standard = (value as Record<string, unknown>)['~standard'];
  return isRecord(standard) && standard.version === 1 && typeof standard.validate === 'function';
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function kindOf(value: unknown): string {
  if (value === undefined) return 'missing';
  if (value === null) return 'null';
  return Array.isArray(value) ? 'an array' : `of type ${typeof value}`;
}

function show(value: unknown): string {
  return value === undefined ? 'missing' : (JSON.stringify(value)?.slice(0, 100) ?? kindOf(value));
}
