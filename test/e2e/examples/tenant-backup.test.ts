// The example tenant-backup on one daemon: its own check, its recipes, an end in the middle of a dump, and a server that went away.
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type OpenExample, openExample } from '../../../examples/runner/open-example.ts';
import example from '../../../examples/tenant-backup/example.ts';
import { packageRoot } from '../../../src/base/package-root.ts';
import { createDaemonFolder, type DaemonFolder, eventually } from '../../support/daemon-process.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { hasPgTools } from '../../support/has-pg-tools.ts';
import { cronwright } from '../../unit/cli/memory-context.ts';

const recipes = join(packageRoot, 'examples/tenant-backup/recipes');

const hasTools = await hasPgTools();
let folder: DaemonFolder;
let server: TestDatabase;
let open: OpenExample;
/** Whether it exists: pg_dump prints without end, or fails as a server that went away lets it fail. */
let endless: string;
let away: string;
let pid: string;

beforeAll(async () => {
  if (!hasTools) return;
  folder = await createDaemonFolder();
  // An embedded database that is there already: the daemon of the example needs no initdb.
  await folder.dataDir('daemon');
  server = await createTestDatabase('postgres', { migrate: false });
  const bin = join(folder.path, 'bin');
  [endless, away, pid] = ['endless', 'away', 'pid'].map((name) => join(folder.path, name)) as [string, string, string];
  await mkdir(bin);
  writeFileSync(
    join(bin, 'pg_dump'),
    `#!/bin/sh
    real=$(PATH=\${PATH#*:} command -v pg_dump)
    if [ "$1" != --version ] && [ -e ${endless} ]; then echo $$ > ${pid}; while printf %0100d 0; do sleep 0.02; done; exit 1; fi
    if [ "$1" != --version ] && [ -e ${away} ]; then
      echo "pg_dump: error: connection to server at \\"db\\" failed: Connection refused" >&2; exit 1
    fi
    exec "$real" "$@"\n`,
  );
  await chmod(join(bin, 'pg_dump'), 0o755);
  const env = { PATH: `${bin}:${process.env.PATH ?? '/usr/bin:/bin'}` };
  open = await openExample(example, { dir: folder.path, postgresUrl: server.url, env });
}, 120_000);
afterAll(async () => {
  await open?.close();
  await server?.close();
  await folder?.remove();
});

const dumpsOf = (tenant: string) => readdirSync(join(open.daemon().dataDir, 'dumps', tenant, 'nightly'));

describe.runIf(hasTools)('the backups of three tenants', () => {
  it('are made, verified, rolled up and told of; a dump restored once more has the rows of its database', async () => {
    const { runs } = open.prepared;
    const finished = await Promise.all(runs.slice(0, -1).map(async (run) => open.finish(await open.start(run))));
    for (const run of runs.slice(-1)) finished.push(await open.finish(await open.start(run)));
    const lines = await open.prepared.check(finished, open.api);
    expect(lines).toEqual([
      expect.stringMatching(/^acme: 1 dump of 2050 rows/),
      expect.stringMatching(/^bolt: 1 dump of 350 rows/),
      expect.stringMatching(/^cobalt: 1 dump of 50 rows/),
      'the dump of acme was restored once more: 2050 rows, as in its database',
      '5 notices came',
    ]);
    const table = finished.at(-1)?.artifacts[0];
    expect(table?.name).toBe('backups.md');
  });

  it('keep so many dumps as the tenant wants', async () => {
    const run = await open.start({ pipeline: 'tenant-backup', tenant: 'bolt' });
    await open.finish(run);
    expect(dumpsOf('bolt')).toEqual([`bolt-${run.id}.dump`]);
  });

  it('go on after kill -9 in the middle of a dump: made anew, one file, and the program of before is gone', async () => {
    writeFileSync(endless, '');
    const before = dumpsOf('acme');
    const run = await open.start({ pipeline: 'tenant-backup', tenant: 'acme' });
    await eventually('half a dump', async () => existsSync(pid) || undefined);
    await eventually('half a file', async () => dumpsOf('acme').some((name) => name.endsWith('.part')) || undefined);
    const program = readFileSync(pid, 'utf8').trim();
    rmSync(endless);
    await open.killAndRestart();
    await eventually('the end of pg_dump', async () => !existsSync(`/proc/${program}`) || undefined);
    const { state, steps } = await open.finish(run);
    expect(state).toBe('completed');
    const completed = steps.filter((one) => one.state === 'completed').map(({ step }) => step);
    // Old dumps go at last: whatever fails before leaves them.
    expect(completed).toEqual(['dump', 'verify', 'roll_up', 'tell', 'rotate']);
    const added = dumpsOf('acme').filter((name) => !before.includes(name));
    expect(added).toEqual([`acme-${run.id}.dump`]);
  });

  it('wait a minute when the server is away, and leave nothing behind when somebody gives up', async () => {
    writeFileSync(away, '');
    const before = dumpsOf('cobalt');
    const { id } = await open.start({ pipeline: 'tenant-backup', tenant: 'cobalt' });
    const run = await eventually('its retry', async () => {
      const now = (await open.api.get(`/runs/${id}`, 'cobalt')) as Record<string, string>;
      return now.state === 'retrying' ? now : undefined;
    });
    const { items } = (await open.api.get(`/runs/${id}/events`, 'cobalt')) as {
      items: { event: string; at: string }[];
    };
    const failedAt = Date.parse(items.find(({ event }) => event === 'run.retrying')?.at ?? '');
    const waitMs = Date.parse(run.wakes_at ?? '') - failedAt;
    expect(waitMs).toBeGreaterThan(58_000);
    expect(waitMs).toBeLessThan(62_000);
    rmSync(away);
    await open.api.post(`/runs/${id}/cancel`, { rollback: true }, 'cobalt');
    await open.finish({ id, tenant: 'cobalt' });
    expect(dumpsOf('cobalt')).toEqual(before);
  });

  it('are summed up at the command line', async () => {
    const url = ['--url', open.daemon().url];
    const all = await cronwright(['tenants', ...url]);
    expect(all.code).toBe(0);
    for (const tenant of ['acme', 'bolt', 'cobalt', 'default']) expect(all.out).toContain(tenant);
    const one = await cronwright(['tenants', 'bolt', '--json', ...url]);
    expect(JSON.parse(one.out)).toMatchObject({
      tenant: 'bolt',
      completed: 2,
      failed: 0,
      success_rate: 1,
      sla_missed: 0,
    });
    expect((await cronwright(['tenants', 'cobalt', ...url])).out).toMatch(/tenant-backup .*50 %.* rolled back by api/);
    expect(await cronwright(['tenants', 'nobody', ...url])).toMatchObject({ code: 1 });
  });

  it('never show a password', async () => {
    const password = new URL(server.url ?? '').password;
    const said = open.daemon().output();
    expect(said).toContain('run.finished');
    if (password !== '') expect(said).not.toContain(password);
    expect(said).not.toMatch(/postgres:\/\/[^*\s]*:[^*\s]+@/);
  });
});

describe.runIf(hasTools)('the recipes', () => {
  const scripts = readdirSync(recipes).filter((name) => /^\d/.test(name));

  it('are seven', () => {
    expect(scripts).toHaveLength(7);
  });

  it.each(scripts)('%s runs', async (name) => {
    const env = { PATH: process.env.PATH, CRONWRIGHT_URL: open.daemon().url };
    const { stdout } = await promisify(execFile)(process.execPath, [join(recipes, name)], { env, timeout: 30_000 });
    expect(stdout.trim()).not.toBe('');
  });
});
