// The real daemon: a limit of a tenant is explained on the command line, and changed by a reload without a restart.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  createDaemonFolder,
  type Daemon,
  type DaemonFolder,
  eventually,
  startDaemon,
} from '../support/daemon-process.ts';
import { cronwright as cronwrightWith } from '../unit/cli/memory-context.ts';

interface Run {
  id: string;
  state: string;
}

let folder: DaemonFolder;
let configDir: string;
let daemon: Daemon;

async function limitTo(concurrency: number): Promise<void> {
  const text = `tenants: { default: { concurrency: ${concurrency} } }\n`;
  await writeFile(join(configDir, 'cronwright.yaml'), text);
}

beforeAll(async () => {
  folder = await createDaemonFolder();
  configDir = join(folder.path, 'config');
  await mkdir(join(configDir, 'pipelines'), { recursive: true });
  const steps = 'steps:\n  - { id: rest, uses: wait.sleep, with: { duration: 1h } }\n';
  await writeFile(join(configDir, 'pipelines/long.yaml'), `id: long\n${steps}`);
  await limitTo(1);
  daemon = await startDaemon({ dataDir: await folder.dataDir('limits'), configDir });
});
afterAll(async () => {
  await daemon.kill();
  await folder.remove();
});

function cronwright(...args: string[]) {
  return cronwrightWith(args, { env: { CRONWRIGHT_URL: daemon.url }, now: new Date().toISOString() });
}

async function inState(id: string, state: string): Promise<Run> {
  const look = async () => {
    const run = await daemon.get<Run>(`/runs/${id}`);
    return run.state === state ? run : undefined;
  };
  return eventually(`run ${id} ${state}`, look, 15_000, () => daemon.output().slice(-2_000));
}

describe('a tenant of one run at once', () => {
  it('explain says who holds the slot, in words and as JSON, and a reload lets the next one in', async () => {
    const { id: holder } = await daemon.post<Run>('/pipelines/long/runs');
    await inState(holder, 'running');
    const { id } = await daemon.post<Run>('/pipelines/long/runs');
    const told = await cronwright('explain', id);
    expect(told.code).toBe(0);
    expect(told.out).toContain(`It waits for a slot of tenant default: 1 of 1 are taken, held by run ${holder}`);
    expect(told.out).toContain('next in line');
    expect(told.out).toContain('tenant:default');
    const { out } = await cronwright('explain', id, '--json');
    expect(JSON.parse(out)).toMatchObject({
      id,
      state: 'pending',
      blocked_on: { key: 'tenant:default', limit: 1, held_by: [{ run_id: holder, state: 'running' }] },
    });
    expect((await cronwright('explain', '00000000-0000-7000-8000-000000000000')).code).toBe(1);

    await limitTo(2);
    daemon.signal('SIGHUP');
    await inState(id, 'running');
    expect(await daemon.logged('limits of tenants and queues changed')).toBeDefined();
    const { settings } = await daemon.get<{ settings: { key: string; value: unknown }[] }>('/config');
    expect(settings.find((one) => one.key === 'tenants')?.value).toMatchObject({ default: { concurrency: 2 } });
    expect(daemon.log.some((line) => String(line.msg).includes('restart'))).toBe(false);
  });
});
