// Step pg.rotate: removes old dumps of the data directory, and keeps as many and as young ones as it is told.
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { defineStep } from 'cronwright/plugin';
import { z } from 'zod';
import { dumpFolder, dumpName, folder, isDumpOf } from './dump-place.ts';

const input = z
  .strictObject({
    folder,
    name: dumpName.describe('How the file names begin: that of pg.dump.'),
    keep_last: z.int().min(1).max(10_000).optional().describe('The newest so many stay.'),
    max_age_days: z
      .number()
      .min(0)
      .max(36_500)
      .optional()
      .describe('By the time their runs were made (of imported runs: the file); the very newest stays.'),
  })
  .refine((given) => given.keep_last !== undefined || given.max_age_days !== undefined, {
    message: 'give keep_last, max_age_days or both',
  });

const output = z.object({
  kept: z.int(),
  removed: z.array(z.string()).describe('File names, oldest first.'),
  freed: z.int().describe('Bytes.'),
});

const dayMs = 86_400_000;

export const rotate = defineStep({
  description: 'Removes old dumps from the data directory.',
  input,
  output,
  effects: 'outside',
  dryRun: 'handled',
  idempotency: 'natural',
  irreversible: 'a dump that was removed is gone',
  isolation: 'inline',
  weight: 'light',
  async run(ctx, given) {
    const at = await dumpFolder(ctx, 'data', given.folder);
    const files = await listDumps(at, given.name);
    const nowMs = madeAt(ctx.runId) ?? Date.now();
    const removed: string[] = [];
    let freed = 0;
    for (const [index, { file, size, madeMs }] of files.entries()) {
      const younger = files.length - 1 - index;
      if (younger === 0) break;
      const isTooMany = given.keep_last !== undefined && younger >= given.keep_last;
      const isTooOld = given.max_age_days !== undefined && nowMs - madeMs > given.max_age_days * dayMs;
      if (!isTooMany && !isTooOld) continue;
      removed.push(file);
      freed += size;
    }
    if (ctx.dryRun) {
      ctx.log.info(`dry run: would remove ${removed.length} dumps`, { removed });
      return { kept: files.length, removed: [], freed: 0 };
    }
    for (const file of removed) await rm(join(at, file), { force: true });
    return { kept: files.length - removed.length, removed, freed };
  },
});

interface DumpFile {
  file: string;
  size: number;
  madeMs: number;
}

/** Oldest first. */
async function listDumps(at: string, name: string): Promise<DumpFile[]> {
  const names = (await readdir(at)).filter((file) => isDumpOf(file, name)).sort();
  const files = await Promise.all(
    names.map(async (file) => {
      const { size, mtimeMs } = await stat(join(at, file));
      return { file, size, madeMs: madeAt(file.slice(name.length + 1)) ?? mtimeMs };
    }),
  );
  return files.sort((one, other) => one.madeMs - other.madeMs);
}

/** Milliseconds since the epoch, as ids of version 7 begin; others, such as those of imported runs, tell no time. */
function madeAt(runId: string): number | undefined {
  return runId[14] === '7' ? Number.parseInt(runId.slice(0, 13).replace('-', ''), 16) : undefined;
}
