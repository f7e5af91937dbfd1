// When a run that waits for another pipeline may start.
import { describe, expect, it } from 'vitest';
import { afterKeys, decideAfter, pipelineOfKey } from '../../../src/domain/after.ts';
import type { AfterDefinition } from '../../../src/domain/pipeline.ts';

const hour = 3_600_000;
const base = Date.parse('2026-03-01T12:00:00Z');

function rule(overrides: Partial<AfterDefinition> = {}): AfterDefinition {
  return { pipeline: 'load', withinMs: 2 * hour, when: 'schedule', onMissing: 'wait', ...overrides };
}

function decide(one: AfterDefinition, completedMs: number, nowMs = base) {
  return decideAfter(one, { baseMs: base, nowMs, completedMs });
}

describe('a run after another pipeline', () => {
  it('starts where it completed within the time before, to the millisecond, or since', () => {
    expect(decide(rule(), base - 2 * hour)).toBe('run');
    expect(decide(rule(), base - 2 * hour - 1)).toBe('wait');
    expect(decide(rule(), base + 5 * hour, base + 6 * hour)).toBe('run');
    expect(decide(rule(), -Infinity)).toBe('wait');
  });

  it('waits on, fails or runs once the same time has passed since', () => {
    const late = base + 2 * hour;
    expect(decide(rule(), -Infinity, late)).toBe('wait');
    expect(decide(rule({ onMissing: 'run' }), -Infinity, late - 1)).toBe('wait');
    expect(decide(rule({ onMissing: 'run' }), -Infinity, late)).toBe('run');
    expect(decide(rule({ onMissing: 'fail' }), -Infinity, late)).toEqual({
      missing: 'no run of pipeline load has completed since 2026-03-01T10:00:00.000Z',
    });
  });

  it('is one of a schedule or a backfill, and any that is started where the pipeline says always', () => {
    const after = [rule(), rule({ pipeline: 'other', when: 'always' })];
    expect(afterKeys({ after }, 'schedule')).toEqual(['after:load', 'after:other']);
    expect(afterKeys({ after }, 'backfill')).toEqual(['after:load', 'after:other']);
    expect(afterKeys({ after }, 'api')).toEqual(['after:other']);
    expect(afterKeys({ after }, 'retry')).toEqual([]);
    expect(pipelineOfKey('after:load')).toBe('load');
    expect(pipelineOfKey('pipeline:load')).toBeUndefined();
  });
});
