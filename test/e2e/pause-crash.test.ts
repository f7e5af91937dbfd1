// kill -9 of a node that was asked to pause: the next one holds the run before anything of it begins, and a pause outlives it all.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
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
  requested: string | null;
}
interface Event {
  seq: number;
  event: string;
  actor: string | null;
  reason: string | null;
}

let folder: DaemonFolder;
let daemon: Daemon;
let dataDir: string;
let configDir: string;
let gate: string;

beforeAll(async () => {
  folder = await createDaemonFolder();
  dataDir = await folder.dataDir('pause');
  configDir = join(folder.path, 'pause-config');
  gate = join(folder.path, 'gate');
  await mkdir(join(configDir, 'pipelines'), { recursive: true });
  await writeFile(join(configDir, 'cronwright.yaml'), 'timing: { lease: 2s, heartbeat: 300ms, rescue: 300ms }\n');
  await writeFile(
    join(configDir, 'pipelines/two.yaml'),
    `id: two
steps:
  - id: first
    uses: shell.run
    with: { argv: [sh, -c, 'until [ -e "$GATE" ]; do sleep 0.1; done'], env: { GATE: ${JSON.stringify(gate)} } }
  - { id: second, uses: shell.run, with: { argv: [echo, done] } }
`,
  );
  daemon = await startDaemon({ dataDir, configDir });
});

afterAll(async () => {
  await daemon?.kill();
  await folder?.remove();
});

const inState = (id: string, state: string) =>
  eventually(
    `run ${id} ${state}`,
    async () => {
      const run = await daemon.get<Run>(`/runs/${id}`);
      return run.state === state ? run : undefined;
    },
    20_000,
    () => daemon.output().slice(-2_000),
  );

it('pauses where it was asked to, although the node that was asked is gone, and goes on when resumed', async () => {
  const { id } = await daemon.post<Run>('/pipelines/two/runs');
  await inState(id, 'running');
  expect((await daemon.post<Run>(`/runs/${id}/pause`, { reason: 'a look' })).requested).toBe('pause');
  const held = await daemon.post<{ asked: number }>('/tenant/pause', { reason: 'a move' });
  // It has been asked already, by somebody who means this run alone.
  expect(held.asked).toBe(0);
  const born = await daemon.post<Run>('/pipelines/two/runs');
  await daemon.kill();

  daemon = await startDaemon({ dataDir, configDir });
  await inState(id, 'paused');
  const { items } = await daemon.get<{ items: Event[] }>(`/runs/${id}/events`);
  expect(items.at(-1)).toMatchObject({ event: 'run.paused', actor: 'api', reason: 'a look' });
  expect(items.map((event) => event.seq)).toEqual(items.map((_, i) => i + 1));
  expect((await daemon.get<Run>(`/runs/${born.id}`)).state).toBe('paused');

  await writeFile(gate, '');
  expect(await daemon.post('/tenant/resume')).toEqual({ let_go: 1 });
  await inState(born.id, 'completed');
  expect((await daemon.get<Run>(`/runs/${id}`)).state).toBe('paused');
  await daemon.post(`/runs/${id}/resume`);
  await inState(id, 'completed');
}, 60_000);
