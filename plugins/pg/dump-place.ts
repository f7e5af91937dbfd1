// Where dump files lie, what they are called, and how one is written whole or not at all.
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Readable, Transform, type TransformCallback } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { folderInside, isPathInside, outputLimit, type StepContext } from 'cronwright/plugin';
import { z } from 'zod';

export const place = z
  .enum(['workspace', 'artifact', 'data'])
  .describe(
    '`workspace`: the folder of the run. `artifact`: an artifact of it. `data`: the folder `dumps` of the data directory, which stays.',
  );

export type Place = z.output<typeof place>;

export const folder = z
  .string()
  .min(1)
  .max(200)
  .default('dumps')
  .describe('Below the workspace, or below `dumps/<tenant>` of the data directory.')
  .refine(isPathInside, 'expected a relative path without .. that stays below its root');

export const dumpName = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$/,
    'expected letters, digits, ".", "_" and "-", beginning with a letter or digit',
  );

/** Absolute path of the folder, made where it is missing. An artifact is made in the workspace first. */
export async function dumpFolder(ctx: StepContext, to: Place, path: string): Promise<string> {
  const root = to === 'data' ? join(ctx.host.dataDir, 'dumps', ctx.tenant) : ctx.workspace;
  await mkdir(root, { recursive: true });
  return folderInside(root, path);
}

/** The same at every attempt, another for every run: `acme-<run>.dump`; ids of runs sort by time. */
export function dumpFileName(ctx: StepContext, name: string, ending: string): string {
  const item = ctx.item === undefined ? '' : `-${ctx.item}`;
  return `${name}-${ctx.runId}${item}${ending}`;
}

/** Whether a file is a dump called `name`, of whichever run. */
export function isDumpOf(file: string, name: string): boolean {
  const rest = file.startsWith(`${name}-`) ? file.slice(name.length + 1) : '';
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(-\d+)?\.(dump|sql|sql\.gz)$/.test(rest);
}

/** What is being written: nobody takes it for a dump. */
function unfinished(file: string): string {
  return `${file}.part`;
}

export interface WrittenFile {
  size: number;
  sha256: string;
}

/** Writes `file` beside itself, syncs it and moves it into its place; `through` stands before the compression. */
export async function writeDump(
  source: Readable,
  file: string,
  options: { gzip: boolean; mostBytes: number | undefined; signal: AbortSignal; through?: Transform },
): Promise<WrittenFile> {
  const part = unfinished(file);
  const meter = new Meter(options.mostBytes);
  const streams = [source, options.through, options.gzip ? createGzip() : undefined, meter, createWriteStream(part)];
  await pipeline(
    streams.filter((one) => one !== undefined),
    { signal: options.signal },
  );
  const handle = await open(part, 'r+');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(part, file);
  return { size: meter.size, sha256: meter.sha256() };
}

export async function removeDump(file: string): Promise<void> {
  await rm(unfinished(file), { force: true });
  await rm(file, { force: true });
}

/** Size and hash of what passes. */
export class Meter extends Transform {
  size = 0;
  readonly #most: number | undefined;
  readonly #hash = createHash('sha256');

  constructor(most?: number) {
    super();
    this.#most = most;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.size += chunk.length;
    if (this.#most !== undefined && this.size > this.#most) {
      done(outputLimit(this.#most));
      return;
    }
    this.#hash.update(chunk);
    done(null, chunk);
  }

  sha256(): string {
    return this.#hash.digest('hex');
  }
}
