// Step pg.verify: whether a dump is whole, by its hash and its contents, or by restoring it into a database that is then dropped.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { defineStep, existingFileInside, type StepContext, StepError } from 'cronwright/plugin';
import type pg from 'pg';
import { z } from 'zod';
import { CopyCounter } from './count-copied-rows.ts';
import { type DatabaseServer, databaseServer } from './database-server.ts';
import { countRows, dumpOutput } from './dump.ts';
import { dumpFolder, Meter } from './dump-place.ts';
import { findTool, runTool } from './run-tool.ts';

const dumped = dumpOutput.pick({
  to: true,
  path: true,
  artifact: true,
  method: true,
  format: true,
  gzip: true,
  size: true,
  sha256: true,
  tables: true,
});

type Dumped = z.output<typeof dumped>;

const input = z.strictObject({
  dump: dumped.describe('The output of pg.dump.'),
  restore_into: z
    .string()
    .min(1)
    .optional()
    .describe(
      'A connection whose user may create databases: the dump is restored into one of its own, which is dropped at the end.',
    ),
});

const output = z.object({
  method: z.enum(['restore', 'contents']),
  tables: z.int().describe('Compared.'),
  rows: z.int().describe('Found in the restored database, or in the dump.'),
  entries: z.int().nullable().describe('Of the table of contents of an archive.'),
  duration_ms: z.int(),
});

/** More SQL than this is restored by psql alone. */
const mostSqlBytes = 268_435_456;

export const verify = defineStep({
  description: 'Checks a dump made by pg.dump.',
  input,
  output,
  effects: 'outside',
  dryRun: 'handled',
  limits: 'obeyed',
  idempotency: 'natural',
  isolation: 'inline',
  weight: 'heavy',
  workspace: 'reads',
  async run(ctx, given) {
    const began = performance.now();
    const method = given.restore_into === undefined ? ('contents' as const) : ('restore' as const);
    const tables = Object.keys(given.dump.tables).length;
    if (ctx.dryRun) {
      ctx.log.info('dry run: would check a dump', { path: given.dump.path, method });
      return { method, tables, rows: 0, entries: null, duration_ms: 0 };
    }
    const file = await dumpFile(ctx, given.dump);
    try {
      await checkHash(file, given.dump);
      const entries = given.dump.format === 'custom' ? await listArchive(ctx, file) : null;
      const found =
        given.restore_into === undefined
          ? await countContents(ctx, given.dump, file)
          : await restore(ctx, given.dump, file, await databaseServer(ctx, given.restore_into));
      const rows = compareRows(given.dump.tables, found);
      return { method, tables, rows, entries, duration_ms: Math.round(performance.now() - began) };
    } finally {
      if (given.dump.to === 'artifact') await rm(file, { force: true });
    }
  },
  /** The database is gone already, unless its node died. */
  async compensate(ctx, given) {
    if (given.restore_into === undefined) return;
    const server = await databaseServer(ctx, given.restore_into);
    await withClient(server, {}, (client) => dropDatabase(client, throwawayName(ctx)));
  },
});

async function dumpFile(ctx: StepContext, { to, path, artifact }: Dumped): Promise<string> {
  if (to !== 'artifact') return existingFileInside(await dumpFolder(ctx, to, '.'), path);
  const { content } = await ctx.artifacts.get(artifact ?? '');
  const file = join(await dumpFolder(ctx, to, '.'), `.verify-${ctx.step}-${ctx.item ?? ''}`);
  await writeFile(file, content);
  return file;
}

async function checkHash(file: string, { size, sha256 }: Dumped): Promise<void> {
  const meter = new Meter();
  meter.resume();
  await pipeline(createReadStream(file), meter);
  if (meter.size === size && meter.sha256() === sha256) return;
  throw invalid(`the file has ${meter.size} bytes with another hash, expected ${size} bytes with SHA-256 ${sha256}`);
}

/** How many entries its table of contents has. */
async function listArchive(ctx: StepContext, file: string): Promise<number> {
  let text = '';
  await runTool(ctx, {
    path: await requireTool(ctx, 'pg_restore'),
    args: ['--list', file],
    env: {},
    async onStdout(stdout) {
      for await (const chunk of stdout) text += String(chunk);
    },
  });
  return text.split('\n').filter((line) => /^\d+;/.test(line)).length;
}

async function requireTool(ctx: StepContext, tool: 'pg_restore' | 'psql'): Promise<string> {
  const path = await findTool(ctx, tool);
  if (path !== undefined) return path;
  const text = `there is no ${tool} in the PATH (Debian: apt-get install postgresql-client)`;
  throw new StepError('fatal', text, { name: 'ProgramNotFound' });
}

async function countContents(ctx: StepContext, dump: Dumped, file: string): Promise<Record<string, number>> {
  if (dump.method === 'sql') {
    const text = await readSql(dump, file);
    if (!text.endsWith('-- end of dump\n')) throw invalid('it has no end');
    // Statements of our own make; their rows are counted by restoring alone.
    return dump.tables;
  }
  const counter = new CopyCounter();
  if (dump.format === 'custom') {
    await runTool(ctx, {
      path: await requireTool(ctx, 'pg_restore'),
      args: ['--data-only', '--file=-', file],
      env: {},
      onStdout: (stdout) => countRows(stdout, counter),
    });
  } else {
    await countRows(sqlOf(dump, file), counter);
  }
  return counter.counts;
}

function sqlOf({ gzip }: Dumped, file: string): Readable {
  const source = createReadStream(file);
  if (!gzip) return source;
  const unzipped = createGunzip();
  source.on('error', (error) => unzipped.destroy(error)).pipe(unzipped);
  return unzipped;
}

async function readSql(dump: Dumped, file: string): Promise<string> {
  if (!dump.gzip) return readFile(file, 'utf8');
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of sqlOf(dump, file)) {
    size += (part as Buffer).length;
    if (size > mostSqlBytes) throw new StepError('fatal', `more SQL than ${mostSqlBytes} bytes: restore it with psql`);
    parts.push(part as Buffer);
  }
  return Buffer.concat(parts).toString('utf8');
}

/** Into a database of its own, which is dropped whatever becomes of it. Answers with the rows of each table. */
async function restore(
  ctx: StepContext,
  dump: Dumped,
  file: string,
  server: DatabaseServer,
): Promise<Record<string, number>> {
  const name = throwawayName(ctx);
  return withClient(server, {}, async (admin) => {
    // One that an attempt before this one left behind.
    await dropDatabase(admin, name);
    await admin.query(`create database "${name}" template template0`);
    try {
      ctx.progress({ done: 0, total: 2, message: 'restore' });
      await fill(ctx, dump, file, server, name);
      ctx.progress({ done: 1, total: 2, message: 'count' });
      return await withClient(server, { database: name }, (client) => countTables(client, Object.keys(dump.tables)));
    } finally {
      await dropDatabase(admin, name);
    }
  });
}

async function fill(ctx: StepContext, dump: Dumped, file: string, server: DatabaseServer, name: string): Promise<void> {
  const env = { ...server.env, PGDATABASE: name };
  if (dump.format === 'custom') {
    const args = ['--no-password', '--no-owner', '--exit-on-error', `--dbname=${name}`, file];
    await runTool(ctx, { path: await requireTool(ctx, 'pg_restore'), args, env });
    return;
  }
  const psql = await findTool(ctx, 'psql');
  if (psql !== undefined) {
    const args = ['--no-password', '--no-psqlrc', '--quiet', '--set=ON_ERROR_STOP=1', '--output=/dev/null'];
    await runTool(ctx, { path: psql, args, env, stdin: sqlOf(dump, file) });
  } else if (dump.method === 'sql') {
    const text = await readSql(dump, file);
    await withClient(server, { database: name }, (client) => client.query(text));
  } else {
    await requireTool(ctx, 'psql');
  }
}

async function countTables(client: pg.Client, tables: readonly string[]): Promise<Record<string, number>> {
  const found: Record<string, number> = {};
  for (const table of tables) {
    const { rows } = await client.query<{ target: string }>(
      `select format('%I.%I', n.nspname, c.relname) as target from pg_catalog.pg_class c
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace where n.nspname || '.' || c.relname = $1`,
      [table],
    );
    const target = rows[0]?.target;
    if (target === undefined) continue;
    const counted = await client.query<{ n: string }>(`select count(*)::text as n from only ${target}`);
    found[table] = Number(counted.rows[0]?.n);
  }
  return found;
}

/** The sum; fatal where any table differs. */
function compareRows(expected: Readonly<Record<string, number>>, found: Readonly<Record<string, number>>): number {
  const names = new Set([...Object.keys(expected), ...Object.keys(found)]);
  const wrong = [...names].filter((name) => expected[name] !== found[name]);
  if (wrong.length === 0) return Object.values(found).reduce((sum, n) => sum + n, 0);
  const told = wrong
    .slice(0, 5)
    .map((name) => `${name} has ${found[name] ?? 'no table'}, expected ${expected[name] ?? 'none'}`);
  throw invalid(`rows differ: ${told.join('; ')}${wrong.length > 5 ? `; and ${wrong.length - 5} more tables` : ''}`);
}

function invalid(why: string): StepError {
  return new StepError('fatal', `the dump is not whole: ${why}`, { name: 'DumpInvalid' });
}

/** The same at every attempt. */
function throwawayName(ctx: StepContext): string {
  const key = ctx.idempotencyKey.replace(/\/compensate$/, '');
  return `cronwright_verify_${createHash('sha256').update(key).digest('hex').slice(0, 16)}`;
}

async function dropDatabase(client: pg.Client, name: string): Promise<void> {
  await client.query(`drop database if exists "${name}" with (force)`);
}

async function withClient<T>(
  server: DatabaseServer,
  options: { database?: string },
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = await server.connect(options);
  try {
    return await work(client);
  } finally {
    await client.end().catch(() => {});
  }
}
