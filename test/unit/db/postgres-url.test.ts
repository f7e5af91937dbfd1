import { describe, expect, it } from 'vitest';
import { connectError, describeDatabaseUrl } from '../../../src/db/postgres-url.ts';

describe('a database URL', () => {
  it.each([
    ['postgres://u:secret@db.example:6432/app', 'db.example:6432/app'],
    ['postgresql://db.example', 'db.example:5432'],
    ['postgres:///app?host=/var/run/postgresql&port=5433', '/var/run/postgresql:5433/app'],
    ['postgres://u:secret@[::1]:5432/app?sslmode=require', '[::1]:5432/app'],
  ])('%s is shown as %s', (url, shown) => {
    expect(describeDatabaseUrl(url)).toBe(shown);
  });

  it.each([
    'mysql://u:secret@host/app',
    'postgres://u:secret@host:port/app',
    'secret',
    'http://u:secret@host',
  ])('that is wrong (%s) is refused without its password anywhere in the error', (url) => {
    let error: unknown;
    try {
      describeDatabaseUrl(url);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toMatchObject({ code: 'invalid_config' });
    const shown =
      JSON.stringify(error, Object.getOwnPropertyNames(error)) + String((error as Error).stack).split('at ')[0];
    expect(shown).not.toContain('secret');
  });

  it('tells why a connect failed, for every address tried', () => {
    const cause = new AggregateError([
      new Error('connect ECONNREFUSED ::1:1'),
      new Error('connect ECONNREFUSED 127.0.0.1:1'),
    ]);
    const error = connectError('localhost:1/app', cause);
    expect(error.message).toBe(
      'cannot connect to PostgreSQL at localhost:1/app: connect ECONNREFUSED ::1:1; connect ECONNREFUSED 127.0.0.1:1',
    );
    expect(error).toMatchObject({ code: 'unavailable', cause });
  });
});
