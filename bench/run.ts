// Starts a throw-away PostgreSQL, runs the scenarios asked for, and prints machine, table and JSON.
import { parseArgs } from 'node:util';
import { openCluster } from './cluster.ts';
import { type Figure, figure, figuresTable } from './figure.ts';
import { describeMachine, machineLine } from './machine.ts';
import type { Bench } from './scenario.ts';
import { scenarios } from './scenarios/all.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: 'boolean', default: false },
    pglite: { type: 'boolean', default: false },
    million: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    json: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    'database-url': { type: 'string' },
  },
});

if (values.list) {
  for (const { name, about } of scenarios) console.log(`${name.padEnd(14)} ${about}`);
} else {
  await main();
}

async function main(): Promise<void> {
  const chosen = choose();
  const cluster = await openCluster(values['database-url']);
  const bench: Bench = {
    cluster,
    quick: values.quick,
    pglite: values.pglite,
    million: values.million,
    rounds: Number(values.rounds ?? (values.quick ? 1 : 3)),
  };
  const stop = () => void cluster.stop().then(() => process.exit(130));
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  try {
    const machine = await describeMachine(cluster.url);
    const figures: Figure[] = [];
    for (const scenario of chosen) {
      process.stderr.write(`${scenario.name} …\n`);
      figures.push(...(await scenario.run(bench)));
    }
    figures.push(...sharesOfCeiling(figures));
    if (!values.json) console.log(`${machineLine(machine)}\n${figuresTable(figures)}`);
    console.log(JSON.stringify({ machine, quick: bench.quick, figures }));
  } finally {
    await cluster.stop();
  }
}

/** Where both were measured: what the engine reaches of what the database alone would do. */
function sharesOfCeiling(figures: readonly Figure[]): Figure[] {
  return ['single-step', 'three-step'].flatMap((kind) => {
    const engine = figures.find((one) => one.name === `${kind} runs`);
    const bare = figures.find((one) => one.name === `ceiling, ${kind}`);
    if (!engine || !bare) return [];
    return [figure(`${kind}, share of the ceiling`, '%', [(engine.value / bare.value) * 100], { target: '≥ 65' })];
  });
}

function choose() {
  const possible = values.pglite ? scenarios.filter((one) => one.onPglite) : scenarios;
  const unknown = positionals.filter((name) => !possible.some((one) => one.name === name));
  if (unknown.length > 0) {
    throw new Error(`got ${unknown.join(', ')}, expected some of: ${possible.map((one) => one.name).join(', ')}`);
  }
  return positionals.length === 0 ? possible : possible.filter((one) => positionals.includes(one.name));
}
