// The shipped pipeline db-catalog: a page on Cronwright's own tables, kept again only when they have changed.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  createDaemonFolder,
  type Daemon,
  type DaemonFolder,
  eventually,
  startDaemon,
} from '../support/daemon-process.ts';

interface Run {
  id: string;
  state: string;
  error: unknown;
}

let folder: DaemonFolder;
let daemon: Daemon;

beforeAll(async () => {
  folder = await createDaemonFolder();
  daemon = await startDaemon({ dataDir: await folder.dataDir('catalog') });
});
afterAll(async () => {
  await daemon?.kill();
  await folder?.remove();
});

async function runOnce(): Promise<Run> {
  const { id } = await daemon.post<Run>('/pipelines/db-catalog/runs');
  return eventually(`run ${id} ends`, async () => {
    const run = await daemon.get<Run>(`/runs/${id}`);
    return ['completed', 'failed'].includes(run.state) ? run : undefined;
  });
}

const stepsOf = async (id: string) => {
  const { items } = await daemon.get<{ items: { step: string; state: string }[] }>(`/runs/${id}/steps`);
  return Object.fromEntries(items.map(({ step, state }) => [step, state]));
};

describe('the pipeline db-catalog', () => {
  it('describes every table of the daemon’s own database, as a file and as an artifact', async () => {
    const run = await runOnce();
    expect(run).toMatchObject({ state: 'completed' });
    const page = await readFile(join(daemon.dataDir, 'files/db-catalog.md'), 'utf8');
    for (const table of ['queue', 'runs', 'history', 'step_runs', 'schedules', 'nodes']) {
      expect(page).toContain(`\n## ${table}\n`);
    }
    expect(page).toMatch(
      /\n\| column \| type \| may be null \| default \|\n\|---\|---\|---\|---\|\n\| `run_id` \| uuid \| no \|/,
    );
    expect(page).toContain('Primary key: `run_id`, `step`, `item`.');
    expect(page).toMatch(/- index `queue_ready`: `btree \(queue, weight, priority, fair, run_id\)/);
    const { items } = await daemon.get<{ items: { id: string; name: string; media_type: string }[] }>(
      `/runs/${run.id}/artifacts`,
    );
    expect(items).toMatchObject([{ name: 'db-catalog.md', media_type: 'text/markdown' }]);
    const kept = await daemon.ask(`/api/v1/runs/${run.id}/artifacts/${items[0]?.id}`);
    expect(kept.text).toBe(page);
  });

  it('keeps nothing new while the tables stay as they are', async () => {
    expect(await stepsOf((await runOnce()).id)).toEqual({
      read: 'completed',
      page: 'completed',
      store: 'completed',
      keep: 'skipped',
    });
  });
});
