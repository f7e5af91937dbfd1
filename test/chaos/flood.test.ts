// One tenant floods the queue, another one starts a run now and then.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/daemon-process.ts';
import { sql } from '../support/http-world.ts';
import { type ChaosWorld, createChaosWorld } from './chaos-world.ts';
import { figure, isFull } from './figures.ts';

const flood = isFull ? 100_000 : 4_000;
const batch = 2_000;
const looks = isFull ? 20 : 8;
const longestWaitMs = 5_000;

// The flood's own effects are of no interest, and each would be a write to a file.
const pipelines = [
  'id: many\ntenant: loud\nsteps: [{ id: only, uses: wait.sleep, with: { duration: 20ms } }]\n',
  'id: one\ntenant: quiet\nsteps: [{ id: only, uses: chaos.light, with: { dir: DIR } }]\n',
];

let world: ChaosWorld;
beforeAll(async () => {
  const settings = 'in_flight: 20\nlog: { level: info }\nlimits: { live_runs_per_tenant: 200000 }\n';
  world = await createChaosWorld({ pipelines, settings });
  await world.addPlace('a');
});
afterAll(() => world?.close());

describe('a tenant that floods the queue', () => {
  it('does not keep the runs of another one waiting', { timeout: 600_000 }, async () => {
    const [place] = world.places;
    if (!place) throw new Error('no daemon');
    const start = async (tenant: string, path: string, json: unknown) => {
      const answer = await place.daemon.ask(`/api/v1/pipelines/${path}`, {
        method: 'POST',
        headers: { 'cronwright-tenant': tenant },
        json,
      });
      if (answer.status !== 202) throw new Error(`${answer.status} ${answer.text}`);
      return answer.body as { id: string };
    };
    for (let n = 0; n < flood; n += batch) {
      await start('loud', 'many/runs/batch', { runs: Array.from({ length: batch }, () => ({})) });
    }
    const waits: number[] = [];
    let behind = 0;
    for (let n = 0; n < looks; n += 1) {
      const askedAt = Date.now();
      const { id } = await start('quiet', 'one/runs', {});
      const begun = await eventually(
        'it has begun',
        async () => (await world.effects()).find(({ run, phase }) => run === id && phase === 'begin'),
        60_000,
      );
      waits.push(begun.at - askedAt);
      const [row] = await sql<{ n: number }>(
        world.test.db,
        `select count(*) as n from cronwright.queue where tenant = 'loud' and state = 'pending'`,
      );
      if ((row?.n ?? 0) > 0) behind += 1;
      await sleep(200);
    }
    figure(
      `two tenants, one floods ${flood} runs`,
      "the other's run waits < 5 s",
      `${looks} runs, ${behind} of them while others waited, begun after ≤ ${Math.max(...waits)} ms`,
    );
    expect(behind).toBeGreaterThan(looks / 2);
    expect(Math.max(...waits)).toBeLessThan(longestWaitMs);
  });
});
