// Which events a client is told, by what it asked for.
import { describe, expect, it } from 'vitest';
import { alertEvent, eventsOf, type LiveEvent } from '../../../../src/http/live/live-event.ts';
import { fits, liveQuery, readFilter } from '../../../../src/http/live/live-filter.ts';

const [event] = eventsOf({
  runId: '019ab000-0000-7000-8000-000000000001',
  tenant: 'default',
  pipeline: 'docs',
  schedule: 'docs.nightly',
  seq: 4,
  node: null,
  at: 0,
  transitions: [{ event: 'step.failed', at: 0, step: 'fetch' }],
}) as [LiveEvent];
const nodeAlert = alertEvent({ name: 'alert.clock.jumped', atMs: 0, node: 'n' });
const runAlert = alertEvent({ name: 'alert.run.stuck', atMs: 0, node: 'n', tenant: 'other', pipeline: 'docs' });

const letsThrough = (query: Record<string, string>, one: LiveEvent, caller = 'default') =>
  fits(readFilter(liveQuery.parse(query), caller), one);

describe('a filter', () => {
  it.each<[Record<string, string>, boolean]>([
    [{}, true],
    [{ pipeline: 'docs' }, true],
    [{ pipeline: 'other, docs' }, true],
    [{ pipeline: 'other' }, false],
    [{ pipeline: 'doc' }, false],
    [{ schedule: 'docs.nightly' }, true],
    [{ schedule: 'docs.weekly' }, false],
    [{ run: '019AB000-0000-7000-8000-000000000001' }, true],
    [{ run: '019ab000-0000-7000-8000-000000000002' }, false],
    [{ event: 'step.' }, true],
    [{ event: 'run.,step.failed' }, true],
    [{ event: 'run.' }, false],
    [{ pipeline: 'docs', event: 'run.' }, false],
    [{ tenant: 'other' }, false],
    [{ tenant: '*' }, true],
  ])('%j lets a failed step of docs through: %s', (query, expected) => {
    expect(letsThrough(query, event)).toBe(expected);
  });

  it('is that of the caller where it names no tenant', () => {
    expect(letsThrough({}, event, 'other')).toBe(false);
    expect(letsThrough({ tenant: 'default' }, event, 'other')).toBe(true);
  });

  it('lets alerts of a node through to every tenant, but not to those who ask for pipelines or runs', () => {
    expect(letsThrough({ tenant: 'anybody' }, nodeAlert)).toBe(true);
    expect(letsThrough({ event: 'alert.' }, nodeAlert)).toBe(true);
    expect(letsThrough({ pipeline: 'docs' }, nodeAlert)).toBe(false);
    expect(letsThrough({ run: '019ab000-0000-7000-8000-000000000001' }, nodeAlert)).toBe(false);
    expect(letsThrough({}, runAlert)).toBe(false);
    expect(letsThrough({ tenant: 'other', pipeline: 'docs' }, runAlert)).toBe(true);
  });

  it('has one key for what lets the same through', () => {
    const key = (query: Record<string, string>) => readFilter(liveQuery.parse(query), 'default').key;
    expect(key({ pipeline: 'a,b' })).toBe(key({ pipeline: ' b ,a,' }));
    expect(key({ pipeline: 'a' })).not.toBe(key({ schedule: 'a' }));
    expect(key({})).not.toBe(key({ tenant: 'other' }));
  });

  it('refuses what it does not know', () => {
    expect(liveQuery.safeParse({ pipline: 'x' }).success).toBe(false);
    expect(liveQuery.safeParse({ from: 'yesterday' }).success).toBe(false);
  });

  it.each([
    { tenant: 'BAD T' },
    { tenant: '' },
    { tenant: '**' },
    { tenant: 'a'.repeat(64) },
    { run: 'nope' },
    { run: '019ab000-0000-7000-8000-000000000001,nope' },
    { event: 'bogus.' },
    { event: 'run.,bogus.' },
    { event: 'run.completed.' },
    { event: 'Run.' },
    { event: ',' },
    { event: '' },
    { pipeline: ' , ' },
    { schedule: '' },
    { run: ',' },
  ])('refuses %j, which nothing can fit', (query) => {
    const { error } = liveQuery.safeParse(query);
    expect(error?.issues).toEqual([expect.objectContaining({ path: Object.keys(query) })]);
    expect(error?.issues[0]?.message).toMatch(/^("[^"]*" is not possible|an empty list|not a tenant)\n./);
  });

  it.each([
    { tenant: '*' },
    { tenant: 'a_b-1' },
    { run: '019AB000-0000-7000-8000-000000000001' },
    { event: 'r' },
    { event: 'run.completed,item.' },
    { event: 'step.event.' },
    { event: 'step.event.whatever' },
    { event: 'step.ev' },
    { event: 'alert.' },
    { event: 'alert.clock.jumped' },
    { event: 'stream.' },
  ])('takes %j', (query) => {
    expect(liveQuery.safeParse(query).success).toBe(true);
  });
});
