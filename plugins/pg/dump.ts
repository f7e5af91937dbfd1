// Step pg.dump: a database into a file, by pg_dump where there is one that fits the server, else by SQL statements alone.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { defineStep, type StepContext, StepError } from 'cronwright/plugin';
import { z } from 'zod';
import { systemSchemas } from './catalog-object.ts';
import { CopyCounter } from './count-copied-rows.ts';
import { type DatabaseServer, databaseServer } from './database-server.ts';
import {
  dumpFileName,
  dumpFolder,
  dumpName,
  folder,
  place,
  removeDump,
  type WrittenFile,
  writeDump,
} from './dump-place.ts';
import { findTool, runTool, toolVersion } from './run-tool.ts';
import { openSqlDump } from './sql-dump.ts';
import { neverCovered } from './sql-schema.ts';

const input = z.strictObject({
  connection: z.string().min(1).describe('A connection from the configuration; not `self`.'),
  method: z
    .enum(['auto', 'pg_dump', 'sql'])
    .default('auto')
    .describe('`auto`: pg_dump where the PATH has one that is not older than the server, else `sql`.'),
  format: z
    .enum(['custom', 'plain'])
    .default('custom')
    .describe('Of pg_dump: an archive for pg_restore, or SQL. `sql` is always plain.'),
  schemas: z.array(z.string().min(1)).min(1).max(200).optional().describe('Default: all but those of the system.'),
  gzip: z.boolean().default(true).describe('Whether it is compressed; an archive is compressed within.'),
  to: place.default('workspace'),
  folder,
  name: dumpName.optional().describe('How the file name begins; default: the connection.'),
});

type Input = z.output<typeof input>;

export const dumpOutput = z.object({
  to: place,
  path: z.string().describe('Relative to the workspace, or to `dumps/<tenant>` of the data directory.'),
  artifact: z.string().nullable().describe('Id, where it is one.'),
  method: z.enum(['pg_dump', 'sql']),
  format: z.enum(['custom', 'plain']),
  gzip: z.boolean().describe('Whether the file as a whole is gzip.'),
  size: z.int().describe('Bytes.'),
  sha256: z.string(),
  database: z.string(),
  server_version: z.string(),
  tool_version: z.string().nullable().describe('Of pg_dump.'),
  tables: z.record(z.string(), z.int()).describe('Rows by table, counted in the dump; `schema.name`.'),
  table_count: z.int(),
  row_count: z.int(),
  duration_ms: z.int(),
  omitted: z.array(z.string()).describe('What the database has and the dump has not; by pg_dump nothing.'),
});

/** What a way of dumping came to. */
interface Dumped extends WrittenFile {
  tables: Record<string, number>;
  toolVersion: string | null;
  omitted: string[];
}

const mostTold = 100;

export const dump = defineStep({
  description: 'Dumps a PostgreSQL database into a file.',
  input,
  output: dumpOutput,
  effects: 'outside',
  dryRun: 'handled',
  limits: 'obeyed',
  idempotency: 'natural',
  isolation: 'inline',
  weight: 'heavy',
  workspace: 'writes',
  async run(ctx, given) {
    const began = performance.now();
    const server = await databaseServer(ctx, given.connection);
    const tool = await chooseTool(ctx, given, server);
    const format = tool === undefined ? 'plain' : given.format;
    const gzip = given.gzip && format === 'plain';
    const fileName = dumpFileName(ctx, given.name ?? given.connection, endingOf(format, gzip));
    const about = {
      to: given.to,
      path: `${given.folder}/${fileName}`,
      method: tool === undefined ? ('sql' as const) : ('pg_dump' as const),
      format,
      gzip,
      database: server.database,
      server_version: server.version,
    };
    if (ctx.dryRun) {
      ctx.log.info('dry run: would dump a database', { connection: given.connection, ...about });
      const nothing = { size: 0, sha256: '', tables: {}, table_count: 0, row_count: 0, duration_ms: 0, omitted: [] };
      return { ...about, ...nothing, artifact: null, tool_version: tool?.version ?? null };
    }
    const file = join(await dumpFolder(ctx, given.to, given.folder), fileName);
    const dumped = tool ? await byTool(ctx, { given, server, file, tool }) : await bySql(ctx, { given, server, file });
    const counts = Object.values(dumped.tables);
    if (dumped.omitted.length > 0)
      ctx.log.warn('the dump leaves out what SQL alone does not cover', { omitted: dumped.omitted });
    return {
      ...about,
      artifact: given.to === 'artifact' ? await keepAsArtifact(ctx, file, fileName) : null,
      size: dumped.size,
      sha256: dumped.sha256,
      tool_version: dumped.toolVersion,
      tables: dumped.tables,
      table_count: counts.length,
      row_count: counts.reduce((sum, n) => sum + n, 0),
      duration_ms: Math.round(performance.now() - began),
      omitted: dumped.omitted.slice(0, mostTold),
    };
  },
  /** An artifact stays with the run: it goes when the run's history goes. */
  async compensate(ctx, given) {
    const at = await dumpFolder(ctx, given.to, given.folder);
    for (const ending of ['.dump', '.sql', '.sql.gz']) {
      await removeDump(join(at, dumpFileName(ctx, given.name ?? given.connection, ending)));
    }
  },
});

interface Chosen {
  path: string;
  version: string;
}

/** Undefined: SQL alone. pg_dump reads servers up to its own version. */
async function chooseTool(ctx: StepContext, given: Input, server: DatabaseServer): Promise<Chosen | undefined> {
  if (given.method === 'sql') return undefined;
  const path = await findTool(ctx, 'pg_dump');
  const version = path === undefined ? undefined : await toolVersion(ctx, path);
  if (path !== undefined && version !== undefined && Number.parseInt(version, 10) >= server.major)
    return { path, version };
  const why =
    version === undefined
      ? 'there is no pg_dump in the PATH (Debian: apt-get install postgresql-client)'
      : `pg_dump is ${version}, the server ${server.version}: it reads servers up to its own version`;
  if (given.method === 'pg_dump') {
    throw new StepError('fatal', why, { name: version === undefined ? 'ProgramNotFound' : 'VersionMismatch' });
  }
  ctx.log.warn(`${why}; the dump is made by SQL alone, without ${neverCovered.join(', ')}`);
  return undefined;
}

interface Job {
  given: Input;
  server: DatabaseServer;
  file: string;
}

async function byTool(ctx: StepContext, { given, server, file, tool }: Job & { tool: Chosen }): Promise<Dumped> {
  const total = await countTables(server, given.schemas);
  const counter = new CopyCounter();
  const isPlain = given.format === 'plain';
  let written: WrittenFile | undefined;
  let done = 0;
  await runTool(ctx, {
    path: tool.path,
    env: server.env,
    args: [
      `--format=${given.format}`,
      '--no-password',
      '--no-owner',
      '--no-privileges',
      '--verbose',
      ...(given.gzip || isPlain ? [] : ['--compress=0']),
      ...(given.schemas ?? []).map((one) => `--schema="${one.replaceAll('"', '""')}"`),
    ],
    async onStdout(stdout) {
      written = await writeDump(stdout, file, {
        gzip: given.gzip && isPlain,
        mostBytes: ctx.limits.outputBytes,
        signal: ctx.signal,
        ...(isPlain ? { through: counter } : {}),
      });
    },
    onStderrLine(line) {
      const name = /dumping contents of table "(.+)"$/.exec(line)?.[1];
      if (name !== undefined)
        ctx.progress({ done: Math.min(done++, total), total: Math.max(total, done), message: name });
    },
  }).catch(async (error: unknown) => {
    await removeDump(file);
    throw error;
  });
  if (written === undefined) throw new StepError('fatal', 'pg_dump wrote nothing', { name: 'ProgramFailed' });
  if (!isPlain) await countArchive(ctx, tool, file, counter);
  return { ...written, tables: counter.counts, toolVersion: tool.version, omitted: [] };
}

/** Also shows that the archive can be read to its end. */
async function countArchive(ctx: StepContext, tool: Chosen, file: string, counter: CopyCounter): Promise<void> {
  const path = (await findTool(ctx, 'pg_restore')) ?? tool.path.replace(/pg_dump$/, 'pg_restore');
  await runTool(ctx, {
    path,
    args: ['--data-only', '--file=-', file],
    env: {},
    onStdout: (stdout) => countRows(stdout, counter),
  });
}

export async function countRows(source: Readable, counter: CopyCounter): Promise<void> {
  counter.resume();
  await pipeline(source, counter);
}

async function bySql(ctx: StepContext, { given, server, file }: Job): Promise<Dumped> {
  const client = await server.connect();
  const onAbort = () => void client.end().catch(() => {});
  ctx.signal.addEventListener('abort', onAbort, { once: true });
  try {
    const sql = await openSqlDump(client, {
      schemas: given.schemas,
      signal: ctx.signal,
      onTable: (done, total, message) => ctx.progress({ done, total, message }),
    });
    const { gzip } = given;
    const written = await writeDump(sql.text, file, { gzip, mostBytes: ctx.limits.outputBytes, signal: ctx.signal });
    return { ...written, tables: sql.counts, toolVersion: null, omitted: [...sql.omitted] };
  } catch (error) {
    await removeDump(file);
    throw ctx.signal.aborted ? ctx.signal.reason : error;
  } finally {
    ctx.signal.removeEventListener('abort', onAbort);
    await client.end().catch(() => {});
  }
}

const tableCount = `select count(*)::int as n from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where c.relkind = 'r' and (case when $1::text[] is null then n.nspname <> all($2::text[]) else n.nspname = any($1::text[]) end)`;

async function countTables(server: DatabaseServer, schemas: readonly string[] | undefined): Promise<number> {
  const { rows } = await server.sql.query(tableCount, [schemas ? [...schemas] : null, [...systemSchemas]]);
  return Number(rows[0]?.n);
}

async function keepAsArtifact(ctx: StepContext, file: string, name: string): Promise<string> {
  const mediaType = name.endsWith('.gz') ? 'application/gzip' : 'application/octet-stream';
  const { id } = await ctx.artifacts.put({ name, mediaType, content: await readFile(file) });
  await removeDump(file);
  return id;
}

function endingOf(format: Input['format'], gzip: boolean): string {
  if (format === 'custom') return '.dump';
  return gzip ? '.sql.gz' : '.sql';
}
