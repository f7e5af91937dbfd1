// Who asks, as the headers of a request say.
import type { IncomingHttpHeaders } from 'node:http';
import type { Caller } from '../control/start-run.ts';
import { CronwrightError } from '../domain/errors.ts';
import { activeTraceparent, formatTraceparent, parseTraceparent } from '../observe/traceparent.ts';

const origins = ['api', 'cli', 'webhook'] as const;
export const tenantPattern = /^[a-z0-9][a-z0-9_-]{0,62}$/;
const printable = /^[\x20-\x7e]{1,200}$/;

/** Throws `invalid_input` naming the header that is wrong. */
export function readCaller(headers: IncomingHttpHeaders): Caller {
  const tenant = headerOf(headers, 'cronwright-tenant') ?? 'default';
  if (!tenantPattern.test(tenant)) throw wrongHeader('Cronwright-Tenant', tenant, tenantPattern.source);
  const actor = headerOf(headers, 'cronwright-actor') ?? 'api';
  if (!printable.test(actor)) throw wrongHeader('Cronwright-Actor', actor, '1 to 200 printable characters');
  const origin = headerOf(headers, 'cronwright-origin') ?? 'api';
  const known = origins.find((one) => one === origin);
  if (!known) throw wrongHeader('Cronwright-Origin', origin, origins.join(', '));
  const idempotencyKey = headerOf(headers, 'idempotency-key');
  if (idempotencyKey !== undefined && !printable.test(idempotencyKey)) {
    throw wrongHeader('Idempotency-Key', idempotencyKey, '1 to 200 printable characters');
  }
  return {
    tenant,
    actor,
    origin: known,
    idempotencyKey,
    traceparent: activeTraceparent() ?? givenTraceparent(headers),
  };
}

/** Where no spans are made here, the caller's is who enqueues. One that cannot be read is no reason to refuse work. */
function givenTraceparent(headers: IncomingHttpHeaders): string | undefined {
  const parsed = parseTraceparent(headerOf(headers, 'traceparent'));
  return parsed && formatTraceparent(parsed);
}

function headerOf(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return typeof value === 'string' ? value : undefined;
}

function wrongHeader(name: string, got: string, expected: string): CronwrightError {
  return new CronwrightError('invalid_input', `the header ${name} is "${got}", expected ${expected}`, {
    problems: [{ path: `header.${name}`, message: 'wrong value', got, expected }],
  });
}
