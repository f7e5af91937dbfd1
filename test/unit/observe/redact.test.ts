// Secrets leave neither by the name of a field nor inside a text.
import { describe, expect, it } from 'vitest';
import { redactLine, redactText } from '../../../src/observe/redact.ts';

const redact = (value: unknown): unknown => JSON.parse(redactLine(JSON.stringify(value)));

describe('redaction by the name of a field', () => {
  it.each([
    'authorization',
    'Authorization',
    'password',
    'dbPassword',
    'db_passwd',
    'token',
    'CRONWRIGHT_TOKEN',
    'access_token',
    'client_secret',
    'set-cookie',
    'api_key',
    'apiKey',
    'x-api-key',
    'credentials',
    'private_key',
  ])('masks %s at any depth', (name) => {
    const masked = redact({ msg: 'm', outer: [{ [name]: 'open sesame', kept: 'kept' }] });
    expect(masked).toEqual({ msg: 'm', outer: [{ [name]: '***', kept: 'kept' }] });
  });

  it('masks whole objects and lists under such a name', () => {
    expect(redact({ cookies: ['a=1'], credentials: { user: 'u', pass: 'p' } })).toEqual({
      cookies: '***',
      credentials: '***',
    });
  });

  it('keeps numbers that are called token, which fence or count', () => {
    expect(redact({ token: 7, max_tokens: 900, password: 1234, secret: null })).toEqual({
      token: 7,
      max_tokens: 900,
      password: '***',
      secret: null,
    });
  });
});

describe('redaction inside texts', () => {
  it.each([
    ['postgres://cron:hunter2@db.example:5432/app', 'postgres://***@db.example:5432/app'],
    ['postgres://cron:p@ss@db.example/app', 'postgres://***@db.example/app'],
    ['fatal: https://ghp_abcdef@git.example/x.git not found', 'fatal: https://***@git.example/x.git not found'],
    ['Authorization: Bearer eyJhbGciOi.eyJzdWIi.c2ln', 'Authorization: Bearer ***'],
    ['authorization: basic dXNlcjpwYXNz', 'authorization: basic ***'],
    ['GET /x?access_token=abc123&page=2', 'GET /x?access_token=***&page=2'],
    ['host=db password=hunter2 user=cron', 'host=db password=*** user=cron'],
  ])('turns %j into %j', (text, expected) => {
    expect(redactText(text)).toBe(expected);
    expect(redact({ msg: text, list: [text] })).toEqual({ msg: expected, list: [expected] });
  });

  it.each([
    'mail to ops@example.org',
    'http://localhost:8080/runs?state=failed',
    'a bearer of news',
    'basic authentication is off',
    'key=value',
  ])('leaves %j alone', (text) => {
    expect(redact({ msg: text })).toEqual({ msg: text });
  });

  it('masks what it can in a line that is no JSON', () => {
    expect(redactLine('panic at postgres://u:p@h/d')).toBe('panic at postgres://***@h/d');
  });

  it('returns a line without secrets as it is', () => {
    const line = '{"msg":"run.finished","run_id":"0190"}\n';
    expect(redactLine(line)).toBe(line);
  });
});
