import { describe, expect, it } from 'vitest';
import { cronwright } from './memory-context.ts';

describe('cronwright next', () => {
  it('shows local time with its offset, UTC and the distance from now', async () => {
    const { code, out, err } = await cronwright(['next', '0 2 * * *', '-z', 'America/New_York', '-n', '2']);
    expect(code).toBe(0);
    expect(err).toBe('');
    expect(out).toContain('0 2 * * *  At 02:00, America/New_York');
    expect(out).toContain('Mon 2026-03-02 02:00:00 -05:00  EST   2026-03-02 07:00:00Z  in 19 h');
    expect(out).toContain('Tue 2026-03-03 02:00:00 -05:00  EST   2026-03-03 07:00:00Z  in 1 d 19 h');
    expect(out.trim().split('\n')).toHaveLength(5);
  });

  it('says where clocks changed and moves a time that does not exist', async () => {
    const { out } = await cronwright([
      ...['next', '30 2 * * *', '-z', 'America/New_York', '--from', '2026-03-07T12:00:00Z', '-n', '2'],
    ]);
    expect(out).toContain('Sun 2026-03-08 03:00:00 -04:00  EDT   2026-03-08 07:00:00Z');
    expect(out.match(/clocks changed: -05:00 → -04:00/g)).toHaveLength(1);
  });

  it('obeys --gap and --overlap', async () => {
    const from = (instant: string) => ['--from', instant, '-n', '2', '-z', 'America/New_York', '--json'];
    const skip = await cronwright(['next', '30 2 * * *', '--gap', 'skip', ...from('2026-03-07T12:00:00Z')]);
    expect(JSON.parse(skip.out).occurrences[0]).toBe('2026-03-09T06:30:00Z');
    const both = await cronwright(['next', '30 1 * * *', '--overlap', 'both', ...from('2026-11-01T00:00:00Z')]);
    expect(JSON.parse(both.out).occurrences).toEqual(['2026-11-01T05:30:00Z', '2026-11-01T06:30:00Z']);
  });

  it('prints one JSON document and nothing else with --json', async () => {
    const { code, out, err } = await cronwright(['next', '*/15 * * * *', '-n', '3', '--json']);
    expect(code).toBe(0);
    expect(err).toBe('');
    expect(JSON.parse(out)).toEqual({
      occurrences: ['2026-03-01T12:15:00Z', '2026-03-01T12:30:00Z', '2026-03-01T12:45:00Z'],
    });
  });

  it('is strictly after --from and gives up to 1000', async () => {
    const { out } = await cronwright(['next', '@hourly', '--from', '2026-01-01T00:00:00Z', '-n', '1000', '--json']);
    const { occurrences } = JSON.parse(out);
    expect(occurrences).toHaveLength(1000);
    expect(occurrences[0]).toBe('2026-01-01T01:00:00Z');
  });

  it('joins words that were not quoted', async () => {
    const { out } = await cronwright(['next', '0', '2', '1', '1', '?', '--json', '-n', '1']);
    expect(JSON.parse(out).occurrences).toEqual(['2027-01-01T02:00:00Z']);
  });

  it('says that a pattern never fires, and that is no failure', async () => {
    const people = await cronwright(['next', '0 0 31 2 *']);
    expect(people.code).toBe(0);
    expect(people.out).toContain('never fires');
    const machines = await cronwright(['next', '0 0 31 2 *', '--json']);
    expect(JSON.parse(machines.out)).toEqual({ occurrences: [] });
    expect(machines.code).toBe(0);
  });

  it('hashes H from --id, and refuses it without one', async () => {
    const one = await cronwright(['next', 'H H * * *', '--id', 'a.b', '--json', '-n', '1']);
    const same = await cronwright(['next', 'H H * * *', '--id', 'a.b', '--json', '-n', '1']);
    expect(one.code).toBe(0);
    expect(one.out).toBe(same.out);
    expect((await cronwright(['next', 'H H * * *'])).code).toBe(2);
  });

  it('puts a caret under the column that is wrong', async () => {
    const { code, out, err } = await cronwright(['next', '0 25 * * *']);
    expect(code).toBe(2);
    expect(out).toBe('');
    const lines = err.split('\n');
    expect(lines[0]).toMatch(/^error: the cron expression is not accepted: hour .*25/);
    expect(lines[1]).toBe('  0 25 * * *');
    expect(lines[2]).toBe('    ^');
  });

  it('keeps the caret in place for long and for odd expressions', async () => {
    const long = `0 ${'1,'.repeat(80)}99 * * *`;
    const [, shown = '', caret = ''] = (await cronwright(['next', long])).err.split('\n');
    expect(shown.length).toBeLessThan(110);
    expect(shown.slice(caret.length - 1, caret.length + 1)).toBe('99');
    const [, odd = '', under = ''] = (await cronwright(['next', '0 0 * * ☃'])).err.split('\n');
    expect(odd[under.length - 1]).toBe('?');
  });

  it('gives the error as JSON on stderr with --json', async () => {
    const { code, out, err } = await cronwright(['next', '0 25 * * *', '--json']);
    expect(code).toBe(2);
    expect(out).toBe('');
    const { error } = JSON.parse(err);
    expect(error).toMatchObject({ code: 'invalid_input', problems: [{ path: 'expression', column: 3 }] });
  });

  it.each([
    ['a zone that does not exist', ['next', '0 0 * * *', '-z', 'Mars/Base'], /time zone "Mars\/Base"/],
    ['a count out of range', ['next', '0 0 * * *', '-n', '1001'], /--count: got "1001".*1 to 1000/],
    ['a count that is none', ['next', '0 0 * * *', '-n', '1e2'], /--count: got "1e2"/],
    ['an instant without an offset', ['next', '0 0 * * *', '--from', '2026-01-01T00:00'], /--from: got .*offset/],
    ['a day that does not exist', ['next', '0 0 * * *', '--from', '2026-13-01'], /--from/],
    ['an unknown way through a gap', ['next', '0 0 * * *', '--gap', 'both'], /--gap: got "both".*next, skip/],
    ['no expression', ['next'], /missing required argument/],
    ['an unknown option', ['next', '0 0 * * *', '--zone', 'UTC'], /unknown option '--zone'/],
  ])('refuses %s with exit code 2', async (_, args, message) => {
    const { code, out, err } = await cronwright(args);
    expect(err).toMatch(message);
    expect(out).toBe('');
    expect(code).toBe(2);
  });
});
