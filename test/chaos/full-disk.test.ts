// The disk of the data directory and of the log is full for a while; the database is elsewhere.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { builtProgram } from '../support/built-program.ts';
import { eventually } from '../support/daemon-process.ts';
import { freePort } from '../support/free-port.ts';
import { sql } from '../support/http-world.ts';
import { type ChaosWorld, createChaosWorld } from './chaos-world.ts';
import { figure } from './figures.ts';

const fault = 'disk full (small tmpfs) for data directory and log';
const pipelines = [
  'id: fills\nsteps: [{ id: only, uses: chaos.fills, with: { dir: DIR, ms: 16000 }, retry: { max_retries: 0 } }]\n',
  'id: harmless\nsteps: [{ id: only, uses: chaos.light, with: { dir: DIR, ms: 10 } }]\n',
];

let world: ChaosWorld;
let disk: string;
let isMounted = false;

beforeAll(async () => {
  world = await createChaosWorld({ pipelines });
  disk = join(world.folder.path, 'disk');
  mkdirSync(disk);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', disk], { stdio: 'pipe' });
    isMounted = true;
  } catch {
    console.warn(`SKIPPED: ${fault}, expected to be allowed to mount a tmpfs (Linux, root)`);
  }
});
afterAll(async () => {
  if (isMounted) execFileSync('umount', ['-l', disk]);
  await world?.close();
});

interface Ready {
  ready: boolean;
  checks: Record<string, { ok: boolean; detail?: string }>;
}

describe('a full disk', () => {
  it('fails the step, holds runs back until there is room, and leaves nothing corrupt', async (context) => {
    if (!isMounted) return context.skip('no tmpfs can be mounted here');
    const port = await freePort();
    const base = `http://127.0.0.1:${port}`;
    const log = join(disk, 'daemon.log');
    const dataDir = join(disk, 'data');
    mkdirSync(dataDir);
    const flags = ['--config', join(world.folder.path, 'config'), '--data-dir', dataDir, '--port', String(port)];
    const daemon = spawn(process.execPath, [builtProgram, 'start', ...flags], {
      cwd: world.folder.path,
      env: {
        PATH: process.env.PATH,
        HOME: process.env.HOME,
        DATABASE_URL: world.test.url,
      },
      stdio: ['ignore', openSync(log, 'a'), 'inherit'],
    });
    const ended = once(daemon, 'close');
    try {
      const readiness = async (): Promise<Ready | undefined> => {
        const answer = await fetch(`${base}/readyz`, { signal: AbortSignal.timeout(5_000) }).catch(() => undefined);
        return answer ? ((await answer.json()) as Ready) : undefined;
      };
      const start = async (pipeline: string): Promise<string> => {
        const headers = { 'content-type': 'application/json' };
        const answer = await fetch(`${base}/api/v1/pipelines/${pipeline}/runs`, {
          method: 'POST',
          headers,
          body: '{}',
        });
        return ((await answer.json()) as { id: string }).id;
      };
      const stateOf = async (id: string) =>
        (
          await sql<{ state: string }>(
            world.test.db,
            `select coalesce(r.state, q.state) as state from cronwright.runs r
             left join cronwright.queue q on q.run_id = r.id where r.id = $1`,
            [id],
          )
        )[0]?.state;
      await eventually('it is ready', async () => ((await readiness())?.ready ? true : undefined), 90_000);

      const filling = await start('fills');
      await eventually('the step fails', async () => ((await stateOf(filling)) === 'failed' ? true : undefined));
      const red = await eventually('it is not ready', async () => {
        const now = await readiness();
        return now?.ready === false ? now : undefined;
      });
      expect(red.checks.disk?.ok).toBe(false);
      const waiting = await start('harmless');
      // Long enough for many polls: what could be claimed would be.
      await sleep(3_000);
      expect(await stateOf(waiting)).toBe('pending');

      rmSync(join(dataDir, 'workspaces', filling), { recursive: true, force: true });
      const from = performance.now();
      await eventually('it works again', async () => {
        const isDone = (await stateOf(waiting)) === 'completed';
        return isDone && (await readiness())?.ready ? true : undefined;
      });
      const seconds = (performance.now() - from) / 1_000;
      daemon.kill('SIGTERM');
      expect((await ended)[0]).toBe(0);

      const lines = readFileSync(log, 'utf8').trim().split('\n');
      const broken = lines.filter((line) => !line.startsWith('{') || !line.endsWith('}'));
      const error = await sql<{ error: { message: string } }>(
        world.test.db,
        'select error from cronwright.runs where id = $1',
        [filling],
      );
      figure(
        fault,
        'step fails, claiming pauses, readiness red, recovers ≤ 30 s, nothing corrupt',
        `step failed (${error[0]?.error.message.slice(0, 40)}), no claim in 3 s, readiness red, ` +
          `recovered in ${seconds.toFixed(1)} s, ${broken.length} of ${lines.length} log lines broken`,
      );
      expect(error[0]?.error.message).toContain('ENOSPC');
      expect(broken).toEqual([]);
      expect(lines.some((line) => line.includes('"disk.recovered"'))).toBe(true);
    } finally {
      daemon.kill('SIGKILL');
      await ended;
    }
  });
});
