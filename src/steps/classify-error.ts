// Gives every thing a step can throw a class, and the form in which it is stored.
import { failureKind } from '../db/retries.ts';
import type { StoredError } from '../domain/outcome.ts';
import type { ErrorClass } from '../domain/retry-policy.ts';
import type { Json } from './api.ts';
import type { SecretMask } from './secret-mask.ts';
import { maxDetailsBytes, maxErrorCharacters } from './step-limits.ts';
import { mapStrings, storableText } from './storable-text.ts';

/** Codes of Node's network and IO and of undici that another try may not meet again. */
const transientCodes = new Set([
  ...['ECONNRESET', 'ECONNREFUSED', 'ECONNABORTED', 'EPIPE', 'ETIMEDOUT', 'ESOCKETTIMEDOUT', 'EADDRINUSE'],
  ...['ENETDOWN', 'ENETRESET', 'ENETUNREACH', 'EHOSTDOWN', 'EHOSTUNREACH', 'EAI_AGAIN'],
  // Also what a resolver says while it has no network; a mistyped name costs a few retries.
  'ENOTFOUND',
  ...['EBUSY', 'EMFILE', 'ENFILE', 'EAGAIN', 'ENOMEM', 'ENOSPC', 'EIO', 'ESTALE', 'EINTR', 'ETXTBSY', 'ENOLCK'],
  ...['UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT', 'UND_ERR_SOCKET'],
  ...['UND_ERR_CLOSED', 'UND_ERR_DESTROYED', 'ERR_STREAM_PREMATURE_CLOSE', 'ERR_HTTP2_STREAM_CANCEL'],
]);

/**
 * SQLSTATEs that another try may not meet again: connection (08), serialization and deadlock (40), lock not available,
 * a statement that took too long (57014), operator intervention (57P), insufficient resources (53).
 */
const transientSqlState = /^(08...|40001|40003|40P01|53...|55P03|57014|57P0[1-5]|58030)$/;
const classes: ReadonlySet<string> = new Set<ErrorClass>(['transient', 'fatal', 'rate_limited', 'item']);
const ownErrors: ReadonlySet<unknown> = new Set(['CronwrightError', 'AmbiguousCommitError']);
const mostCauses = 5;

/** Anything thrown as a stored error: bounded, storable, without secrets. A StepError keeps its class. */
export function toStoredError(thrown: unknown, mask: SecretMask): StoredError {
  const clean = (text: string) => shorten(storableText(mask.text(text)), maxErrorCharacters);
  const stored: StoredError = {
    name: clean(nameOf(thrown)),
    message: clean(messageOf(thrown)),
    class: classify(thrown),
  };
  const retryAfterMs = field(thrown, 'retryAfterMs');
  if (typeof retryAfterMs === 'number' && Number.isFinite(retryAfterMs))
    stored.retryAfterMs = Math.max(0, retryAfterMs);
  const key = field(thrown, 'key');
  if (stored.class === 'rate_limited' && typeof key === 'string' && key !== '') stored.key = clean(key).slice(0, 500);
  if (stored.class === 'fatal' && field(thrown, 'scope') === 'run') stored.scope = 'run';
  const details = detailsOf(thrown);
  if (details !== undefined) stored.details = mapStrings(details, (text) => storableText(mask.text(text)));
  return stored;
}

/** The class of anything thrown. By its form, not by instanceof: a plugin may hold another copy of StepError. */
export function classify(thrown: unknown): ErrorClass {
  for (const error of causesOf(thrown)) {
    const known = field(error, 'class');
    if (typeof known === 'string' && classes.has(known)) return known as ErrorClass;
  }
  for (const error of causesOf(thrown)) {
    if (field(error, 'name') === 'TimeoutError') return 'transient';
    const code = field(error, 'code');
    if (typeof code === 'string' && (transientCodes.has(code) || isTransientSqlState(error, code))) return 'transient';
    // Cronwright's own errors: the database cannot be reached, or its answer was lost.
    if (code === 'unavailable' && ownErrors.has(field(error, 'name'))) return 'transient';
    // The pg driver gives lost connections no code.
    if (failureKind(error) === 'connection') return 'transient';
    const status = field(error, 'status');
    if (status === 429) return 'rate_limited';
    if (typeof status === 'number' && (status === 408 || (status >= 500 && status < 600))) return 'transient';
  }
  return 'fatal';
}

function isTransientSqlState(error: unknown, code: string): boolean {
  return transientSqlState.test(code) && error instanceof Error;
}

/** The thrown thing, what caused it, and the parts of aggregates, outermost first. */
function causesOf(thrown: unknown): unknown[] {
  const found: unknown[] = [thrown];
  for (let index = 0; index < found.length && found.length < mostCauses; index++) {
    const cause = field(found[index], 'cause');
    if (cause !== undefined && cause !== null) found.push(cause);
    const parts = field(found[index], 'errors');
    if (Array.isArray(parts)) found.push(...parts.slice(0, mostCauses));
  }
  return found;
}

function nameOf(thrown: unknown): string {
  const name = field(thrown, 'name');
  return typeof name === 'string' && name !== '' ? name : 'Error';
}

/** The message, with what caused it where the message does not say so already (`fetch failed` says nothing). */
function messageOf(thrown: unknown): string {
  if (typeof thrown === 'string') return thrown;
  let text = ownMessage(thrown);
  for (const cause of causesOf(thrown).slice(1)) {
    const message = ownMessage(cause);
    if (message !== '' && !text.includes(message)) text = text === '' ? message : `${text}: ${message}`;
  }
  return text === '' ? 'no message' : text;
}

function ownMessage(error: unknown): string {
  const message = field(error, 'message');
  if (typeof message === 'string') return message;
  return typeof error === 'object' && error !== null ? '' : String(error);
}

function detailsOf(thrown: unknown): Json | undefined {
  const details = field(thrown, 'details');
  if (details === undefined || details === null) return undefined;
  try {
    const text = JSON.stringify(details);
    if (text === undefined) return undefined;
    return text.length <= maxDetailsBytes ? (JSON.parse(text) as Json) : { truncated: text.slice(0, maxDetailsBytes) };
  } catch {
    // Details are an extra: what cannot be said as JSON is left out rather than hiding the error itself.
    return undefined;
  }
}

/** A property of anything; a getter that throws counts as absent. */
function field(value: unknown, key: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  try {
    return (value as Record<string, unknown>)[key];
  } catch {
    return undefined;
  }
}

function shorten(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most)}… (${text.length - most} more characters)`;
}
