// The input of a call from the outbox: what was kept, with the secrets that it names put in now.
import { type KeptValue, restoreKept, secretsOfKept } from '../domain/expressions/kept-value.ts';
import { notificationScope, notificationScopeTypes } from '../domain/expressions/notification-scope.ts';
import { compileTemplate } from '../domain/expressions/template.ts';
import type { StoredNotification } from '../domain/failure-notice.ts';
import type { StoredError } from '../domain/outcome.ts';
import type { OutboxCall } from '../queue/claim-outbox.ts';
import { toStoredError } from '../steps/classify-error.ts';
import { SecretMask } from '../steps/secret-mask.ts';
import type { Secrets } from '../store/secrets.ts';

export type OutboxInput = { ok: true; value: unknown; secrets: readonly string[] } | { ok: false; error: StoredError };

export async function outboxInput(call: OutboxCall, secrets: Secrets): Promise<OutboxInput> {
  const stored = call.input as unknown as StoredNotification | KeptValue;
  if (!('run' in stored)) {
    const found = await findSecrets(secretsOfKept(stored), secrets);
    return found.ok
      ? { ok: true, value: restoreKept(stored, found.values), secrets: Object.values(found.values) }
      : found;
  }
  const template = compileTemplate(stored.with, notificationScopeTypes);
  const found = await findSecrets(template.secrets, secrets);
  if (!found.ok) return found;
  // Of the runs that a sum counts one was told of by itself, and one is named here.
  const run = { ...stored.run, more_failed: Math.max(0, (call.sumOf ?? 0) - 2) };
  const evaluated = template.evaluate(notificationScope(run, found.values));
  return evaluated.ok ? { ...evaluated, secrets: Object.values(found.values) } : evaluated;
}

type Found = { ok: true; values: Record<string, string> } | { ok: false; error: StoredError };

async function findSecrets(names: readonly string[], secrets: Secrets): Promise<Found> {
  const values: Record<string, string> = {};
  for (const name of names) {
    try {
      const value = await secrets.get(name);
      if (value === undefined) return missing(name);
      values[name] = value;
    } catch (error) {
      const stored = toStoredError(error, new SecretMask());
      return { ok: false, error: { ...stored, message: `secrets.${name}: ${stored.message}` } };
    }
  }
  return { ok: true, values };
}

function missing(name: string): Found {
  return { ok: false, error: { name: 'MissingSecret', message: `there is no secret named ${name}`, class: 'fatal' } };
}
