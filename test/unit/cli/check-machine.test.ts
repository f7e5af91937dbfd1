import { describe, expect, it } from 'vitest';
import { skewFinding } from '../../../src/cli/doctor/check-database.ts';
import { checkNode, checkProgram, checkTimeZones, satisfies } from '../../../src/cli/doctor/check-machine.ts';
import { checkAccess } from '../../../src/cli/doctor/check-port.ts';

describe('doctor', () => {
  it.each([
    ['20.19.0', true],
    ['20.18.9', false],
    ['21.9.0', false],
    ['22.11.0', false],
    ['22.12.0', true],
    ['23.1.0', false],
    ['24.0.0', true],
    ['30.1.2', true],
  ])('Node.js %s in the range of the package: %s', (version, fits) => {
    expect(satisfies(version, '^20.19.0 || ^22.12.0 || >=24')).toBe(fits);
  });

  it('finds this Node.js good and an old one bad', () => {
    expect(checkNode().status).toBe('ok');
    expect(checkNode('18.20.0')).toMatchObject({ status: 'fail', detail: expect.stringContaining('18.20.0') });
  });

  it('warns of time zone rules that are years old', () => {
    const now = Date.parse('2026-06-01T00:00:00Z');
    expect(checkTimeZones(now, '2025b').status).toBe('ok');
    expect(checkTimeZones(now, '2023c')).toMatchObject({ status: 'warn', detail: 'rules 2023c, 3 years old' });
    expect(checkTimeZones(now, 'odd').status).toBe('warn');
  });

  it('tells a missing program from one that works', async () => {
    expect(await checkProgram('node', ['--version'], 'tests')).toMatchObject({
      status: 'ok',
      detail: expect.stringMatching(/^v\d+/),
    });
    expect(await checkProgram('no-such-program', [], 'odd steps')).toEqual({
      check: 'no-such-program',
      status: 'warn',
      detail: 'not found',
      hint: 'only odd steps need it',
    });
  });

  it.each([
    [400, 'ok'],
    [-4_900, 'ok'],
    [6_000, 'warn'],
    [-299_000, 'warn'],
    [301_000, 'fail'],
  ])('a clock that is off by %d ms is %s', (skewMs, status) => {
    expect(skewFinding(skewMs).status).toBe(status);
  });

  it('says which clock is ahead', () => {
    expect(skewFinding(60_000).detail).toBe("the database's clock is 1 min ahead of this machine's");
    expect(skewFinding(-60_000).detail).toBe("the database's clock is 1 min behind this machine's");
  });

  it('fails where a daemon would be open to everyone', () => {
    expect(checkAccess('0.0.0.0', undefined).status).toBe('fail');
    expect(checkAccess('0.0.0.0', 'a token').status).toBe('ok');
    expect(checkAccess('127.0.0.1', undefined).status).toBe('ok');
  });
});
