// What the expressions of a sensor may name: `with` what is known before a look, `inputs` what a look found.
import type { JsonSchema } from '../step-catalogue.ts';
import { fixedScopeTypes, type Scope, type ScopeTypes } from './scope.ts';
import { typeFromJsonSchema, type ValueType } from './value-type.ts';

const text: ValueType = { kind: 'string' };

/** For `with`. */
export function sensorWithTypes(env: Readonly<Record<string, string>>): ScopeTypes {
  const fields = Object.fromEntries(Object.keys(env).map((name) => [name, text]));
  return {
    secrets: fixedScopeTypes.secrets,
    tenant: text,
    env: { kind: 'object', fields, open: false },
  };
}

/** For `inputs`; `data`: JSON Schema of what the sensor type tells of an event. */
export function sensorInputTypes(data: JsonSchema | undefined): ScopeTypes {
  return {
    sensor: { kind: 'object', open: false, fields: { id: text, key: text, data: typeFromJsonSchema(data) } },
    tenant: text,
  };
}

/** The load has refused every other name of a scope. */
export function sensorWithScope(values: {
  secrets: Readonly<Record<string, string>>;
  env: Readonly<Record<string, string>>;
  tenant: string;
}): Scope {
  return values as unknown as Scope;
}

export function sensorInputScope(values: {
  sensor: { id: string; key: string; data: unknown };
  tenant: string;
}): Scope {
  return values as unknown as Scope;
}

/** The variables of a pipeline that a sensor has: those that are plain text, because the others name things of a run. */
export function plainEnv(env: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(env).filter(([, value]) => !value.includes('${{')));
}
