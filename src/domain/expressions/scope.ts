// What an expression may name: the values a template is evaluated with, and their types where they are known.
import type { ValueType } from './value-type.ts';

/** The values behind the names of an expression. Everything in it is plain JSON. */
export interface Scope {
  readonly inputs: Readonly<Record<string, unknown>>;
  readonly steps: Readonly<Record<string, StepScope>>;
  /** The item of a fan-out; absent elsewhere. */
  readonly item?: unknown;
  /** The position of the item, from 0. */
  readonly index?: number;
  readonly run: RunScope;
  /** Null where the run does not come from a schedule. */
  readonly schedule?: ScheduleScope | null;
  readonly env: Readonly<Record<string, string>>;
  /** Only those named by `Template.secrets` need to be there. */
  readonly secrets: Readonly<Record<string, string>>;
  readonly tenant: string;
  /** What a repair is given: the error, and the input that failed. */
  readonly error?: { readonly name: string; readonly message: string; readonly details: unknown };
  readonly input?: unknown;
}

export interface StepScope {
  /** Undefined or null until the step has completed; for a fan-out the list of its items' outputs. */
  readonly output?: unknown;
  readonly state: string;
  readonly error?: { readonly name: string; readonly message: string; readonly class: string } | null;
}

export interface RunScope {
  readonly id: string;
  readonly pipeline: string;
  readonly tenant: string;
  readonly origin: string;
  /** Run-level attempt, from 1. */
  readonly attempt: number;
  /** ISO 8601 in UTC. */
  readonly created_at: string;
  readonly dry_run: boolean;
  /** Base URL of the daemon's own API, e.g. `http://127.0.0.1:8080`; empty where no server runs. */
  readonly api_url: string;
}

export interface ScheduleScope {
  readonly id: string;
  /** ISO 8601 in UTC. */
  readonly nominal_at: string;
  readonly timezone: string;
  /** True where the run makes up for missed times. */
  readonly late: boolean;
}

/** The types of the names of a scope. A name that is not in it is unknown at this place. */
export type ScopeTypes = Readonly<Record<string, ValueType>>;

const text: ValueType = { kind: 'string' };

/** Types of the names that are the same in every pipeline. */
export const fixedScopeTypes = {
  run: {
    kind: 'object',
    open: false,
    fields: {
      id: text,
      pipeline: text,
      tenant: text,
      origin: text,
      attempt: { kind: 'int' },
      created_at: text,
      dry_run: { kind: 'bool' },
      api_url: text,
    },
  },
  schedule: {
    kind: 'object',
    open: false,
    nullable: true,
    fields: { id: text, nominal_at: text, timezone: text, late: { kind: 'bool' } },
  },
  secrets: { kind: 'object', open: true, rest: text, fields: {} },
  tenant: text,
} as const satisfies ScopeTypes;

/** Types of the names that only a repair after an error can see. */
export const fixScopeTypes = {
  error: { kind: 'object', open: false, fields: { name: text, message: text, details: { kind: 'any' } } },
  input: { kind: 'any' },
} as const satisfies ScopeTypes;

/** The type of `steps.X`, given the type of its output. */
export function stepScopeType(output: ValueType): ValueType {
  return {
    kind: 'object',
    open: false,
    fields: {
      output,
      state: text,
      error: {
        kind: 'object',
        open: false,
        nullable: true,
        fields: { name: text, message: text, class: text },
      },
    },
  };
}
