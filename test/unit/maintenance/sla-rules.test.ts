// Which promises about time there are: those of schedules, and those of pipelines for all other runs.
import { describe, expect, it } from 'vitest';
import { buildPipeline } from '../../../src/config/build-pipeline.ts';
import { pipelineSchema } from '../../../src/config/pipeline-schema.ts';
import { promisesOf } from '../../../src/domain/sla.ts';
import { slaRulesOf } from '../../../src/maintenance/sla-watch.ts';

const minute = 60_000;

function rulesOf(shape: object) {
  const base = { id: 'p', steps: [{ id: 'a', uses: 'test.do' }] };
  const rules = slaRulesOf([buildPipeline(pipelineSchema.parse({ ...base, ...shape }), {})]);
  return rules.map(({ schedule, kind, withinMs }) => [schedule, kind, withinMs / minute]);
}

describe('promises', () => {
  it('of a pipeline hold for runs of its own and for its schedules, unless those say otherwise', () => {
    const rules = rulesOf({
      sla: { complete_within: '2h' },
      schedules: [
        { id: 'nightly', cron: '0 2 * * *' },
        { id: 'hourly', cron: '0 * * * *', sla: { start_within: '5m', complete_within: '30m' } },
      ],
    });
    expect(rules).toEqual([
      [null, 'complete', 120],
      ['p.nightly', 'complete', 120],
      ['p.hourly', 'start', 5],
      ['p.hourly', 'complete', 30],
    ]);
  });

  it('of a schedule alone hold for nothing else', () => {
    const schedules = [
      { id: 'a', cron: '@daily', sla: { start_within: '1m' } },
      { id: 'b', cron: '@daily' },
    ];
    expect(rulesOf({ schedules })).toEqual([['p.a', 'start', 1]]);
  });

  it('need not be given', () => {
    expect(rulesOf({ schedules: [{ id: 'a', cron: '@daily' }] })).toEqual([]);
    expect(promisesOf(undefined)).toEqual([]);
  });
});
