// Step file.read: the content of a small file as a step's output.
import { createHash } from 'node:crypto';
import { constants, open } from 'node:fs/promises';
import { defineStep, existingFileInside, StepError } from 'cronwright/plugin';
import { z } from 'zod';
import { path, rootOf, target } from './locate.ts';

const input = z.strictObject({
  path,
  encoding: z.enum(['utf8', 'base64']).default('utf8'),
  target,
  max_bytes: z.int().min(0).max(700_000).default(500_000).describe('A larger file is an error: an output holds 1 MB.'),
});

const output = z.object({ path: z.string(), content: z.string(), bytes: z.int(), sha256: z.string() });

export const read = defineStep({
  description: 'Reads a file.',
  input,
  output,
  effects: 'none',
  idempotency: 'natural',
  isolation: 'inline',
  weight: 'light',
  workspace: 'reads',
  async run(ctx, given) {
    const file = await existingFileInside(await rootOf(ctx, given.target), given.path);
    // Opening a named pipe would wait for a writer.
    const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const stats = await handle.stat();
      if (!stats.isFile()) throw new StepError('fatal', `${given.path} is not a file`, { name: 'NotAFile' });
      if (stats.size > given.max_bytes) {
        const text = `${given.path} has ${stats.size} bytes, allowed are ${given.max_bytes} (max_bytes)`;
        throw new StepError('fatal', text, { name: 'FileTooLarge' });
      }
      const content = await handle.readFile();
      return {
        path: given.path,
        content: content.toString(given.encoding),
        bytes: content.length,
        sha256: createHash('sha256').update(content).digest('hex'),
      };
    } finally {
      await handle.close();
    }
  },
});
