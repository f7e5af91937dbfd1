// Step docs.job_report: what a run came to that documents many objects, as figures, as Markdown and as JSON.
import { defineStep, type SqlConnection, type StepContext } from 'cronwright/plugin';
import { z } from 'zod';
import { databaseJob, type JobItem, type JobReport, jobReport, reportFigures } from './job-figures.ts';
import { reportPage } from './report-page.ts';

const input = z.strictObject({
  step: z.string().min(1).default('document').describe('The step of this run that goes over the objects.'),
  objects: databaseJob.describe('The output of docs.pending.'),
  keep_after_failure: z.boolean().default(false).describe('As docs.describe_object has it.'),
  user_id: z.string().nullable().default(null).describe('Who started it.'),
  user_email: z.string().nullable().default(null),
  name: z.string().min(1).max(200).default('db-docs-report').describe('Of the artifacts, without ending.'),
});

const output = jobReport.extend({
  artifacts: z.object({ markdown: z.string(), json: z.string() }).describe('Ids.'),
});

export const report = defineStep({
  description: 'Reports on a run that documents many objects.',
  input,
  output,
  effects: 'none',
  idempotency: 'none',
  isolation: 'inline',
  weight: 'light',
  async run(ctx, given) {
    const sql = await ctx.sql('self', { readOnly: true });
    const { state, items } = await readItems(sql, ctx.runId, given.step);
    // The ledger knows what failed attempts cost, too.
    const costs = await ctx.cost.soFar();
    const figures = reportFigures({ ...given, runId: ctx.runId, state, items, costs });
    return { ...figures, artifacts: await keep(ctx, given.name, figures) };
  },
});

const itemsText = `
  select s.item, s.state, s.attempts, s.error, s.started_at, s.finished_at,
    coalesce(s.output->'layers', s.checkpoint->'layers') as layers, s.output->'stored' as stored
  from cronwright.step_runs s where s.run_id = $1::uuid and s.step = $2::text order by s.item`;

/** What the engine has on record: also of items that failed, with what they had spent until then. */
async function readItems(sql: SqlConnection, runId: string, step: string) {
  const { rows } = await sql.query(itemsText, [runId, step]);
  const whole = rows.find((row) => row.item === -1);
  const items = rows.filter((row) => row.item !== -1) as unknown as JobItem[];
  return { state: typeof whole?.state === 'string' ? whole.state : 'pending', items };
}

async function keep(ctx: StepContext, name: string, figures: JobReport): Promise<{ markdown: string; json: string }> {
  const json = JSON.stringify(figures, null, 2);
  const page = await ctx.artifacts.put({
    name: `${name}.md`,
    mediaType: 'text/markdown',
    content: reportPage(figures),
  });
  const data = await ctx.artifacts.put({ name: `${name}.json`, mediaType: 'application/json', content: json });
  return { markdown: page.id, json: data.id };
}
