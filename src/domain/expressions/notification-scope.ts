// What the `on_failure` of the settings may name: the run that failed, and secrets.
import { fixedScopeTypes, type Scope, type ScopeTypes } from './scope.ts';
import type { ValueType } from './value-type.ts';

/** The run that a notification is about. */
export interface FailedRun {
  readonly id: string;
  readonly pipeline: string;
  readonly tenant: string;
  /** Null where it does not come from a schedule. */
  readonly schedule: string | null;
  readonly state: 'failed' | 'dead_letter';
  readonly error: { readonly name: string; readonly message: string; readonly step: string | null };
  /** ISO 8601 in UTC; null where it never began. */
  readonly started_at: string | null;
  readonly finished_at: string;
  /** Its page; empty where no server runs. */
  readonly url: string;
  /** How many runs of the pipeline failed within the same minute that no notification of their own tells of. */
  readonly more_failed: number;
}

const text: ValueType = { kind: 'string' };
const maybeText: ValueType = { kind: 'string', nullable: true };

export const notificationScopeTypes = {
  run: {
    kind: 'object',
    open: false,
    fields: {
      id: text,
      pipeline: text,
      tenant: text,
      schedule: maybeText,
      state: text,
      error: { kind: 'object', open: false, fields: { name: text, message: text, step: maybeText } },
      started_at: maybeText,
      finished_at: text,
      url: text,
      more_failed: { kind: 'int' },
    },
  },
  secrets: fixedScopeTypes.secrets,
} as const satisfies ScopeTypes;

/** The load has refused every other name of a scope. */
export function notificationScope(run: FailedRun, secrets: Readonly<Record<string, string>>): Scope {
  return { run, secrets } as unknown as Scope;
}
