// Step sql.query: one statement with bound parameters on a named connection.
import { defineStep, type Json } from 'cronwright/plugin';
import { z } from 'zod';

const input = z.strictObject({
  connection: z.string().min(1).describe('A connection from the configuration; `self` is Cronwright’s own, read-only.'),
  text: z
    .string()
    .min(1)
    .max(100_000)
    .describe('One statement; values come in through params as $1, $2, …')
    .meta({ 'x-cronwright-no-expressions': true }),
  params: z.array(z.json()).default([]),
  mode: z.enum(['read', 'write']).default('read').describe('`read` runs in a read-only transaction.'),
  max_rows: z.int().min(1).max(10_000).default(1_000).describe('Rows in the output; more are counted, not kept.'),
});

const output = z.object({
  rows: z.array(z.record(z.string(), z.json())),
  row_count: z.int().describe('Rows that the statement returned, or wrote where it returns none.'),
  truncated: z.boolean().describe('True where there were more than max_rows.'),
});

export const query = defineStep({
  description: 'Runs one SQL statement with bound parameters.',
  input,
  output,
  effects: 'outside',
  dryRun: 'handled',
  idempotency: 'none',
  irreversible: 'what a writing statement changed is committed',
  isolation: 'inline',
  weight: 'light',
  async run(ctx, { connection, text, params, mode, max_rows: maxRows }) {
    if (ctx.dryRun && mode === 'write') {
      ctx.log.info('dry run: would run a writing statement', { connection, text: text.slice(0, 1_000) });
      return { rows: [], row_count: 0, truncated: false };
    }
    const sql = await ctx.sql(connection, { readOnly: mode === 'read' });
    const { rows, rowCount } = await sql.query(text, params as Json[]);
    const truncated = rows.length > maxRows;
    if (truncated) ctx.log.warn(`the statement returned ${rows.length} rows, the output keeps ${maxRows} (max_rows)`);
    return { rows: truncated ? rows.slice(0, maxRows) : rows, row_count: rowCount, truncated };
  },
});
