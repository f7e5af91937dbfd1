// The daemon itself, as a user starts it: how long until it is ready, and what it needs when nothing is to do.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { packageRoot } from '../../src/base/package-root.ts';
import { createBenchDatabase } from '../bench-database.ts';
import { processTreeCpuMs, residentMb } from '../cpu-time.ts';
import { figure } from '../figure.ts';
import type { Scenario } from '../scenario.ts';

export const startUp: Scenario = {
  name: 'start',
  about: 'time until the daemon is ready, then its processor time and memory when idle; needs `npm run build`',
  onPglite: true,
  async run(bench) {
    const database = await createBenchDatabase(bench);
    // PGlite lets one process at a time into a directory.
    if (bench.pglite) await database.db.close();
    const config = await mkdtemp(join(tmpdir(), 'cronwright-bench-config-'));
    await mkdir(join(config, 'pipelines'));
    await writeFile(join(config, 'pipelines', 'quiet.yaml'), quietPipeline);
    const ready: number[] = [];
    const idle: number[] = [];
    const memory: number[] = [];
    const queries: number[] = [];
    let busiest = '';
    try {
      for (let round = 0; round < bench.rounds; round += 1) {
        const from = performance.now();
        const args = ['start', '--config', config, '--port', '0', '--data-dir', database.dataDir];
        const daemon = spawn(process.execPath, [join(packageRoot, 'bin', 'cronwright.js'), ...args], {
          env: { ...process.env, ...(database.url === undefined ? {} : { DATABASE_URL: database.url }) },
          stdio: ['ignore', 'pipe', 'inherit'],
        });
        try {
          const url = await listening(daemon);
          ready.push((performance.now() - from) / 1_000);
          await sleep(bench.quick ? 2_000 : 10_000);
          const before = processTreeCpuMs(daemon.pid ?? 0);
          const measuredMs = bench.quick ? 3_000 : 30_000;
          const sentBefore = await queriesOf(url);
          await sleep(measuredMs);
          const after = processTreeCpuMs(daemon.pid ?? 0);
          const sent = difference(await queriesOf(url), sentBefore);
          queries.push((sum(sent) / measuredMs) * 1_000);
          busiest = [...sent]
            .slice(0, 3)
            .map(([operation, count]) => `${operation} ${count}`)
            .join(', ');
          idle.push((((after ?? Number.NaN) - (before ?? Number.NaN)) / measuredMs) * 100);
          memory.push(residentMb(daemon.pid ?? 0) ?? Number.NaN);
        } finally {
          await ended(daemon);
        }
      }
    } finally {
      await rm(config, { recursive: true, force: true });
      await database.close();
    }
    const on = bench.pglite ? 'PGlite' : 'PostgreSQL';
    return [
      figure(`start until ready (${on})`, 's', ready, { target: bench.pglite ? '≤ 3' : '≤ 1.5', note: 'warm' }),
      figure(`idle (${on})`, '% of a core', idle, { target: '< 1' }),
      figure(`idle queries (${on})`, 'a second', queries, { note: busiest }),
      figure(`idle memory (${on})`, 'MB', memory, { target: bench.pglite ? '≤ 500' : '≤ 150' }),
    ];
  },
};

const quietPipeline = `id: quiet
schedules:
  - { id: yearly, cron: "0 0 1 1 *" }
steps:
  - { id: wait, uses: wait.sleep, with: { duration: 1s } }
`;

/** Statements sent so far, by operation, as the daemon's metrics count them. */
async function queriesOf(url: string): Promise<Map<string, number>> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const counts = text.matchAll(/^cronwright_db_query_duration_seconds_count\{operation="(\w+)"\} (\d+)$/gm);
  return new Map(Array.from(counts, ([, operation = '', count]) => [operation, Number(count)]));
}

/** What came on top, the most of it first. */
function difference(after: Map<string, number>, before: Map<string, number>): Map<string, number> {
  const more = Array.from(after, ([operation, count]) => [operation, count - (before.get(operation) ?? 0)] as const);
  return new Map(more.filter(([, count]) => count > 0).sort((one, other) => other[1] - one[1]));
}

function sum(counts: Map<string, number>): number {
  return [...counts.values()].reduce((total, count) => total + count, 0);
}

/** Where it listens. */
async function listening(daemon: ChildProcess): Promise<string> {
  const output = daemon.stdout;
  if (!output) throw new Error('the daemon has no output');
  let text = '';
  for await (const chunk of output) {
    text += String(chunk);
    if (text.includes('listening')) {
      // Nobody reads on: what is not taken would stop it in the end.
      output.resume();
      return /"url":"([^"]+)"/.exec(text)?.[1] ?? '';
    }
  }
  throw new Error(`the daemon ended before it listened; it said:\n${text}`);
}

async function ended(daemon: ChildProcess): Promise<void> {
  if (daemon.exitCode !== null) return;
  const exit = new Promise((resolve) => daemon.once('exit', resolve));
  daemon.kill('SIGTERM');
  await exit;
}
