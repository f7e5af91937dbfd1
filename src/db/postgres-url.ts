// Reads a database URL without ever showing its password.
import { CronwrightError, errorMessage } from '../domain/errors.ts';

/** `host:port/database` of a PostgreSQL URL, for people. Throws invalid_config, without the URL, where it is none. */
export function describeDatabaseUrl(text: string): string {
  // The error of `new URL` carries its input, password and all: it is not kept as a cause.
  if (!URL.canParse(text)) {
    throw new CronwrightError(
      'invalid_config',
      'the database URL cannot be read, expected postgres://user:password@host:port/database ' +
        '(special characters in user and password percent-encoded)',
    );
  }
  const url = new URL(text);
  if (url.protocol !== 'postgres:' && url.protocol !== 'postgresql:') {
    throw new CronwrightError(
      'invalid_config',
      `the database URL has the scheme ${url.protocol}//, expected postgres:// or postgresql://`,
    );
  }
  const host = url.searchParams.get('host') ?? (decodeURIComponent(url.hostname) || 'localhost');
  const port = url.searchParams.get('port') ?? (url.port || '5432');
  return `${host}:${port}${url.pathname === '/' ? '' : url.pathname}`;
}

/** The error of a failed connect: where to, and why. */
export function connectError(address: string, cause: unknown): CronwrightError {
  return new CronwrightError('unavailable', `cannot connect to PostgreSQL at ${address}: ${reason(cause)}`, {
    cause,
    details: { address },
  });
}

function reason(cause: unknown): string {
  // A name with several addresses fails with one error for each and no message of its own.
  if (cause instanceof AggregateError) return cause.errors.map(reason).join('; ');
  if (cause instanceof Error && cause.message === '' && 'code' in cause) return String(cause.code);
  return errorMessage(cause);
}
