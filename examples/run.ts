// Runs the examples on real git, PostgreSQL and pdflatex, each on a daemon of its own, and prints what came of them.
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import picocolors from 'picocolors';
import { packageRoot } from '../src/base/package-root.ts';
import { type Column, renderTable } from '../src/cli/table.ts';
import buildWhereStale from '../test/support/built-program.ts';
import { openOwnCluster } from '../test/support/postgres-server.ts';
import type { Example, FinishedRun } from './example.ts';
import { type ModelServer, startModel } from './runner/model.ts';
import { missing } from './runner/needs.ts';
import { openExample } from './runner/open-example.ts';

const usage = `npm run examples -- [NAME …] [--model | --faults] [--keep]

Without a name all of them. Steps that ask a language model get the answers of the provider \`template\`: nothing is called.
  --model    they ask a local stub of an OpenAI-compatible API instead
  --faults   the same, and it answers 10 % with 429, 5 % with 503 and cuts 2 % of its streams (seed: EXAMPLES_SEED)
  --keep     leaves the folders of the examples behind, and says where`;

interface Line {
  example: Example;
  run: FinishedRun;
}

const columns: readonly Column<Line>[] = [
  { heading: 'example', cell: ({ example }) => example.name },
  { heading: 'pipeline', cell: ({ run }) => run.pipeline },
  {
    heading: 'steps',
    cell: ({ run }) => String(run.steps.filter(({ state }) => state === 'completed').length),
    align: 'right',
  },
  {
    heading: 'duration',
    cell: ({ run }) => `${(Number(run.run.duration_ms ?? 0) / 1_000).toFixed(1)} s`,
    align: 'right',
  },
  { heading: 'artifacts', cell: ({ run }) => shortList(run.artifacts.map(({ name }) => name)) },
  { heading: 'tokens', cell: ({ run }) => String(costOf(run).total_tokens), align: 'right' },
  { heading: 'cost', cell: ({ run }) => `$${costOf(run).usd.toFixed(4)}`, align: 'right' },
];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: 'boolean', default: false },
    faults: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

if (values.help) console.log(usage);
else process.exitCode = await main();

async function main(): Promise<number> {
  buildWhereStale();
  const examples = await loadExamples(positionals);
  const dir = await mkdtemp(join(tmpdir(), 'cronwright-examples-'));
  const model =
    values.model || values.faults
      ? await startModel(examples, { faults: values.faults, seed: Number(process.env.EXAMPLES_SEED ?? 1) })
      : undefined;
  const server = examples.some(({ needs }) => needs.includes('postgresql')) ? await postgres() : undefined;
  const lines: Line[] = [];
  const problems: string[] = [];
  try {
    for (const example of examples) {
      const reasons = missing(example.needs);
      if (example.needs.includes('postgresql') && server?.url === undefined)
        reasons.push(server?.reason ?? 'no server');
      if (reasons.length > 0) {
        console.log(`\n${example.name}: left out; ${reasons.join('; ')}`);
        continue;
      }
      try {
        lines.push(...(await runExample(example, join(dir, example.name), server?.url, model)));
      } catch (error) {
        problems.push(`${example.name}: ${error instanceof Error ? error.message : String(error)}`);
        console.error(`\n${problems.at(-1)}`);
      }
    }
    console.log(`\n${renderTable({ colors: picocolors.createColors(process.stdout.isTTY) }, columns, lines)}`);
    if (model) problems.push(...compareTokens(lines, model));
  } finally {
    await model?.stop();
    await server?.stop();
    if (values.keep) console.log(`\nThe folders of the examples: ${dir}`);
    else await rm(dir, { recursive: true, force: true, maxRetries: 5 });
  }
  for (const problem of problems) console.error(`FAILED: ${problem}`);
  return problems.length === 0 ? 0 : 1;
}

async function loadExamples(names: readonly string[]): Promise<Example[]> {
  const folder = join(packageRoot, 'examples');
  const entries = await readdir(folder, { recursive: true });
  const known = entries.filter((path) => /^[^/\\]+[/\\]example\.ts$/.test(path)).sort();
  const all = await Promise.all(
    known.map(async (path) => {
      const loaded = (await import(pathToFileURL(join(folder, path)).href)) as { default: Example };
      return loaded.default;
    }),
  );
  const unknown = names.find((name) => !all.some((example) => example.name === name));
  if (unknown !== undefined) {
    throw new Error(`there is no example ${unknown}; there are ${all.map(({ name }) => name).join(', ')}`);
  }
  return names.length === 0 ? all : all.filter(({ name }) => names.includes(name));
}

async function postgres(): Promise<{ url?: string; reason?: string; stop(): Promise<void> }> {
  try {
    return await openOwnCluster();
  } catch (error) {
    const reason = `there is no PostgreSQL (on Debian and Ubuntu: apt-get install postgresql): ${String(error)}`;
    return { reason, stop: async () => {} };
  }
}

async function runExample(
  example: Example,
  dir: string,
  postgresUrl: string | undefined,
  model: ModelServer | undefined,
): Promise<Line[]> {
  console.log(`\n${example.name}: ${example.title}`);
  const open = await openExample(example, { dir, postgresUrl, model: model?.model });
  try {
    const finished: FinishedRun[] = [];
    for (const run of open.prepared.runs) finished.push(await open.finish(await open.start(run)));
    mustBeCompleted(finished);
    for (const line of await open.prepared.check(finished, open.api)) console.log(`  ${line}`);
    // Those that sensors, schedules and other runs have started. A part of a run is in its steps and its cost.
    const { items } = (await open.api.get('/runs?tenant=*&limit=200')) as { items: ListedRun[] };
    const others = items.filter((run) => !isPart(run, items) && !finished.some(({ id }) => id === run.id));
    for (const run of others) finished.push(await open.finish(run));
    mustBeCompleted(finished);
    return finished.map((run) => ({ example, run }));
  } finally {
    await open.close();
  }
}

interface ListedRun {
  id: string;
  tenant: string;
  pipeline: string;
  origin: string;
  parent_id: string | null;
}

function isPart({ origin, pipeline, parent_id: parentId }: ListedRun, all: readonly ListedRun[]): boolean {
  return origin === 'parent' && all.find(({ id }) => id === parentId)?.pipeline === pipeline;
}

function mustBeCompleted(finished: readonly FinishedRun[]): void {
  const bad = finished.find(({ state }) => state !== 'completed');
  if (bad) throw new Error(`the run ${bad.id} of ${bad.pipeline} is ${bad.state}: ${JSON.stringify(bad.run.error)}`);
}

function shortList(names: readonly string[]): string {
  return names.length > 2 ? `${names.slice(0, 2).join(', ')}, … (${names.length})` : names.join(', ');
}

/** What the ledger says and what the stub has charged are the same tokens. */
function compareTokens(lines: readonly Line[], { charged }: ModelServer): string[] {
  const sum = (name: 'prompt_tokens' | 'completion_tokens') =>
    lines.reduce((total, { run }) => total + costOf(run)[name], 0);
  const ledger = { prompt: sum('prompt_tokens'), completion: sum('completion_tokens') };
  const said = charged();
  console.log(
    `\nledger: ${ledger.prompt} + ${ledger.completion} tokens; the stub charged ${said.prompt} + ${said.completion} in ${said.requests} calls, ${said.faults} of them with a fault`,
  );
  if (ledger.prompt === said.prompt && ledger.completion === said.completion) return [];
  return ['the tokens of the ledger are not those that the stub has charged'];
}

function costOf({ run }: FinishedRun): Record<'usd' | 'prompt_tokens' | 'completion_tokens' | 'total_tokens', number> {
  return { usd: 0, prompt_tokens: 0, completion_tokens: 0, total_tokens: 0, ...(run.cost as object | undefined) };
}
