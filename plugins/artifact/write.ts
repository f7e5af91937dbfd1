// Step artifact.write: keeps a text, a value or a file of the workspace as an artifact of the run.
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { defineStep, existingFileInside, isMediaType } from 'cronwright/plugin';
import { z } from 'zod';
import { workspacePath } from './workspace-path.ts';

const input = z
  .strictObject({
    name: z.string().min(1).max(255).optional().describe('Its name for people; default: that of the file.'),
    media_type: z
      .string()
      .min(3)
      .max(255)
      .refine(isMediaType, 'expected type/subtype, with parameters or without, in visible ASCII')
      .optional()
      .describe('Default: by what it is given, or by the name.'),
    content: z.string().optional().describe('A text.'),
    json: z.json().optional().describe('Any value; kept as JSON.'),
    file: workspacePath.optional().describe('A file of the workspace.'),
  })
  .refine(
    ({ content, json, file }) => [content, json, file].filter((one) => one !== undefined).length === 1,
    'expected exactly one of content, json and file',
  )
  .refine(({ name, file }) => name !== undefined || file !== undefined, 'expected a name');

const output = z.object({
  id: z.string(),
  name: z.string(),
  media_type: z.string(),
  size: z.int().describe('Bytes.'),
  sha256: z.string(),
  url: z.string().nullable().describe('Where it can be fetched; null without a daemon.'),
});

export const write = defineStep({
  description: 'Keeps a file of the run as an artifact.',
  input,
  output,
  effects: 'none',
  idempotency: 'none',
  isolation: 'inline',
  weight: 'light',
  workspace: 'reads',
  async run(ctx, given) {
    const name = given.name ?? basename(given.file ?? '');
    const kept = await ctx.artifacts.put({
      name,
      mediaType: given.media_type ?? (given.json === undefined ? mediaTypeOf(name) : 'application/json'),
      content: await contentOf(given, ctx),
    });
    const { apiUrl } = ctx.host;
    const url = apiUrl === undefined ? null : `${apiUrl}/api/v1/runs/${ctx.runId}/artifacts/${kept.id}`;
    return { id: kept.id, name: kept.name, media_type: kept.mediaType, size: kept.size, sha256: kept.sha256, url };
  },
});

async function contentOf(given: z.output<typeof input>, ctx: { workspace: string }): Promise<string | Uint8Array> {
  if (given.content !== undefined) return given.content;
  if (given.json !== undefined) return JSON.stringify(given.json, null, 2);
  return readFile(await existingFileInside(ctx.workspace, given.file ?? ''));
}

const mediaTypes: Readonly<Record<string, string>> = {
  csv: 'text/csv',
  html: 'text/html',
  json: 'application/json',
  log: 'text/plain',
  md: 'text/markdown',
  pdf: 'application/pdf',
  png: 'image/png',
  svg: 'image/svg+xml',
  txt: 'text/plain',
  xml: 'application/xml',
  yaml: 'application/yaml',
  zip: 'application/zip',
};

function mediaTypeOf(name: string): string {
  return mediaTypes[name.split('.').at(-1)?.toLowerCase() ?? ''] ?? 'application/octet-stream';
}
