// A throw-away PostgreSQL for one bench: real fsync, run by an unprivileged user, deleted at the end.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { chown, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import { freePort } from '../test/support/free-port.ts';
import { processTreeCpuMs } from './cpu-time.ts';

export interface Cluster {
  /** With rights to create databases. */
  url: string;
  /** Processor time of the server and all its backends so far; undefined where it is not ours to see. */
  cpuMs(): number | undefined;
  stop(): Promise<void>;
}

// Durability as in production; room for a bench that writes a gigabyte in a minute.
const settings = [
  'listen_addresses=127.0.0.1',
  'fsync=on',
  'synchronous_commit=on',
  'full_page_writes=on',
  'shared_buffers=512MB',
  'max_wal_size=4GB',
  'max_connections=100',
].flatMap((setting) => ['-c', setting]);

/** `given`: a server that is there already. Throws where there are no PostgreSQL binaries. */
export async function openCluster(given: string | undefined): Promise<Cluster> {
  if (given !== undefined) return { url: given, cpuMs: () => undefined, stop: async () => {} };
  const binaries = findBinaries();
  const identity = unprivilegedIdentity();
  const home = await mkdtemp(join(tmpdir(), 'cronwright-bench-'));
  if (identity) await chown(home, identity.uid, identity.gid);
  const data = join(home, 'data');
  await promisify(execFile)(
    join(binaries, 'initdb'),
    ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C'],
    {
      ...identity,
      cwd: home,
    },
  );
  const port = await freePort();
  const server = spawn(join(binaries, 'postgres'), ['-D', data, '-p', String(port), '-k', home, ...settings], {
    ...identity,
    cwd: home,
    stdio: 'ignore',
  });
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`;
  await untilReady(server, url);
  return {
    url,
    cpuMs: () => processTreeCpuMs(server.pid ?? 0),
    async stop() {
      const ended = new Promise((resolve) => server.once('exit', resolve));
      server.kill('SIGQUIT');
      await ended;
      await rm(home, { recursive: true, force: true });
    },
  };
}

function findBinaries(): string {
  const debian = '/usr/lib/postgresql';
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : [];
  const candidates = [
    ...versions.map((version) => join(debian, version, 'bin')),
    ...(process.env.PATH ?? '').split(delimiter),
  ];
  const found = candidates.find((path) => existsSync(join(path, 'initdb')) && existsSync(join(path, 'postgres')));
  if (found === undefined) {
    throw new Error(
      'there are no PostgreSQL binaries in /usr/lib/postgresql or the PATH; name a server by --database-url',
    );
  }
  return found;
}

/** PostgreSQL refuses to run as root: then it runs as `postgres`, or as `nobody`. */
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
  for (const until = performance.now() + 30_000; performance.now() < until; await sleep(50)) {
    if (server.exitCode !== null) throw new Error(`postgres ended with exit code ${server.exitCode}`);
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
  throw new Error('postgres did not answer within 30 s');
}
