// The example db-docs: a small shop's database is documented, then again, and every document is looked up where it is stored.
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import pg from 'pg';
import type { Api, Example, FinishedRun, PreparedExample } from '../example.ts';

/** The three that people ask for first; the second run documents the rest. */
const first = ['customer_lifetime_value', 'order_summary', 'revenue_forecast'];

const example: Example = {
  name: 'db-docs',
  title: 'Documentation of a database, object by object',
  needs: ['postgresql'],
  async prepare({ postgresUrl }): Promise<PreparedExample> {
    if (postgresUrl === undefined) throw new Error('the example db-docs needs a PostgreSQL server');
    const { url, drop } = await makeDatabase(postgresUrl);
    const who = { user_id: 'u-1', user_email: 'ada@example.org' };
    return {
      env: { WAREHOUSE_URL: url, DOCUMENTATION_URL: url },
      runs: [
        // Three objects are expected to cost 15 cents, which is more than 10: a person is asked.
        { pipeline: 'db-docs', inputs: { ...who, objects: first, approve_above_usd: 0.1 } },
        { pipeline: 'db-docs', inputs: who },
      ],
      answer: ({ step }) => (step === 'approve' ? { decision: 'approve' } : undefined),
      check: (finished, api) => check(finished, api, url),
      stop: drop,
    };
  },
};

export default example;

async function makeDatabase(serverUrl: string): Promise<{ url: string; drop(): Promise<void> }> {
  const name = `cronwright_db_docs_${randomBytes(4).toString('hex')}`;
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  await ask(serverUrl, `create database ${name}`);
  await ask(url.href, await readFile(new URL('./warehouse.sql', import.meta.url), 'utf8'));
  return {
    url: url.href,
    async drop() {
      await ask(serverUrl, `drop database if exists ${name} with (force)`);
    },
  };
}

async function check(finished: readonly FinishedRun[], api: Api, url: string): Promise<string[]> {
  for (const { id, state, run } of finished) {
    if (state !== 'completed') throw new Error(`the run ${id} is ${state}: ${JSON.stringify(run.error)}`);
  }
  const rows = await ask(
    url,
    `select object_id, version, body, run_id, usd::float8 as usd from documentation.object_documentation
    where current order by object_id`,
  );
  if (rows.length !== 7) throw new Error(`expected documents of 7 objects, got ${rows.map((row) => row.object_id)}`);
  const [one, other] = finished;
  const ofFirst = rows.filter((row) => row.run_id === one?.id);
  if (ofFirst.length !== 3) throw new Error(`the first run stored ${ofFirst.length} documents, expected 3`);
  const lines = await Promise.all([one, other].map((run) => reportLine(api, run)));
  const summary = rows.find((row) => row.object_id === 'sales.order_summary');
  for (const wanted of ['# order_summary', '## Columns', '## Relations', 'sales.order_items']) {
    if (!String(summary?.body).includes(wanted)) throw new Error(`the document of order_summary lacks ${wanted}`);
  }
  return [
    ...lines,
    `${rows.length} documents are current, $${sum(rows.map((row) => Number(row.usd))).toFixed(4)} in all`,
  ];
}

async function reportLine(api: Api, run: FinishedRun | undefined): Promise<string> {
  const kept = run?.artifacts.find(({ name }) => name === 'db-docs-report.json');
  if (!run || !kept) throw new Error(`the run ${run?.id} left no report`);
  const report = JSON.parse(Buffer.from(await api.bytes(`/runs/${run.id}/artifacts/${kept.id}`)).toString());
  const { status, total, processed, failed, skipped, usd, estimate_usd: estimate } = report;
  if (status !== 'completed' || failed > 0 || processed + skipped !== total || report.started_by.user_id !== 'u-1') {
    throw new Error(`the report of the run ${run.id} is not as expected: ${JSON.stringify(report)}`);
  }
  return `${processed} of ${total} documented, ${skipped} skipped, $${usd.toFixed(4)} where $${estimate.toFixed(2)} were expected`;
}

async function ask(connectionString: string, text: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(text)).rows ?? [];
  } finally {
    await client.end();
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((all, value) => all + value, 0);
}
