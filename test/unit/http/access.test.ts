import { describe, expect, it } from 'vitest';
import { createAccess, isLoopbackName, requireSafeAddress } from '../../../src/http/access.ts';

const ask = (headers: Record<string, string>, token?: string, method = 'GET', path = '/api/v1/runs') => {
  try {
    createAccess(token).check({ method, path, headers });
    return 'in';
  } catch (error) {
    return (error as { code: string }).code;
  }
};

describe('access', () => {
  it.each(['localhost', 'LocalHost', '127.0.0.1', '127.255.255.254', '::1', '[::1]'])('%s is this machine', (name) => {
    expect(isLoopbackName(name)).toBe(true);
  });

  it.each([
    '',
    'localhost.',
    'localhost.example',
    '0.0.0.0',
    '127.0.0.1.example',
    '127.0.0.256',
    '127.1',
    '::',
    '1.127.0.0.1',
  ])('"%s" is not this machine', (name) => {
    expect(isLoopbackName(name)).toBe(false);
  });

  it('refuses a request that names no host', () => {
    expect(ask({})).toBe('forbidden');
    expect(ask({ host: '' })).toBe('forbidden');
    expect(ask({ host: 'localhost:8080' })).toBe('in');
  });

  it('compares an origin with the host it was sent to, port included', () => {
    const host = 'localhost:8080';
    expect(ask({ host, origin: 'http://localhost:8080' })).toBe('in');
    expect(ask({ host, origin: 'http://localhost:8081' })).toBe('forbidden');
    expect(ask({ host, origin: 'http://127.0.0.1:8080' })).toBe('forbidden');
    expect(ask({ host, origin: 'not a url' })).toBe('forbidden');
  });

  it('takes a session for reading only, and only one of the same token', () => {
    const cookie = createAccess('one').cookie?.split(';')[0] ?? '';
    expect(ask({ cookie }, 'one')).toBe('in');
    expect(ask({ cookie: `a=b; ${cookie}` }, 'one')).toBe('in');
    expect(ask({ cookie }, 'one', 'POST')).toBe('unauthorized');
    expect(ask({ cookie }, 'two')).toBe('unauthorized');
  });

  it('lets an address that others reach be used with a token only', () => {
    expect(() => requireSafeAddress('0.0.0.0', undefined)).toThrow(/CRONWRIGHT_TOKEN/);
    expect(() => requireSafeAddress('0.0.0.0', 'secret')).not.toThrow();
    expect(() => requireSafeAddress('127.0.0.1', undefined)).not.toThrow();
  });
});
