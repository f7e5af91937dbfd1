// Step docs.store: keeps a document of an object as a version in a table.
import { defineStep } from 'cronwright/plugin';
import { z } from 'zod';
import { ensureStore, removeVersions, storePlace, storeVersion } from './document-store.ts';

const input = z.strictObject({
  store: storePlace,
  object_id: z.string().min(1).max(500),
  title: z.string().min(1).max(500),
  body: z.string().min(1),
  generated_by: z.string().min(1).max(200).default('pipeline'),
  usd: z.number().nonnegative().default(0).describe('What making it cost.'),
});

const output = z.object({
  object_id: z.string(),
  version: z.int().nullable().describe('Null in a dry run.'),
  is_new: z.boolean().describe('False: the latest version has the same body.'),
  sha256: z.string().nullable(),
});

export const store = defineStep({
  description: 'Stores a document of an object, with versions.',
  input,
  output,
  effects: 'outside',
  dryRun: 'handled',
  idempotency: 'natural',
  isolation: 'inline',
  weight: 'light',
  async run(ctx, { store: place, object_id: objectId, title, body, generated_by: generatedBy, usd }) {
    if (ctx.dryRun) {
      ctx.log.info(`dry run: would store the document of ${objectId} in ${place.table}`);
      return { object_id: objectId, version: null, is_new: false, sha256: null };
    }
    const sql = await ctx.sql(place.connection);
    await ensureStore(sql, place.table);
    const document = { objectId, title, body, runId: ctx.runId, generatedBy, usd };
    const { version, isNew, sha256 } = await storeVersion(sql, place.table, document);
    return { object_id: objectId, version, is_new: isNew, sha256 };
  },
  async compensate(ctx, { store: place, object_id: objectId }) {
    await removeVersions(await ctx.sql(place.connection), place.table, { objectId, runId: ctx.runId });
  },
});
