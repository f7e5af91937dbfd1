// A real Prometheus on a free port, with the scrape configuration and rules that deploy/ ships; only targets and times differ.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { eventually } from '../support/daemon-process.ts';
import { freePort } from './free-port.ts';
import { type RuleFile, readDeployed } from './shipped-files.ts';

export interface Sample {
  metric: Record<string, string>;
  /** In ascending order of time. */
  values: number[];
}

export interface RuleState {
  name: string;
  health: string;
  lastError?: string;
  evaluationTime: number;
  alerts: { state: string; labels: Record<string, string>; annotations: Record<string, string> }[];
}

export interface Prometheus {
  /** Everything it said. */
  output(): string;
  query(expr: string): Promise<Sample[]>;
  /** From `seconds` ago until now, every second. */
  queryRange(expr: string, seconds: number): Promise<Sample[]>;
  labelValues(series: string, label: string): Promise<string[]>;
  targets(): Promise<{ health: string; lastError: string }[]>;
  rules(): Promise<RuleState[]>;
  stop(): Promise<void>;
}

interface ScrapeFile {
  global: { scrape_interval: string; evaluation_interval: string };
  scrape_configs: { job_name: string; static_configs: { targets: string[] }[] }[];
}

/** `folder` takes its configuration and data. Returns when it answers. */
export async function startPrometheus(folder: string, target: string): Promise<Prometheus> {
  await writeConfiguration(folder, target);
  const port = await freePort();
  const child = spawn(
    'prometheus',
    [
      `--config.file=${join(folder, 'prometheus.yaml')}`,
      `--storage.tsdb.path=${join(folder, 'tsdb')}`,
      `--web.listen-address=127.0.0.1:${port}`,
      '--log.level=warn',
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const said: string[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => said.push(chunk.toString()));
  const output = () => said.join('');
  const url = `http://127.0.0.1:${port}`;
  try {
    await eventually('Prometheus is ready', () => isReady(url, child), 30_000, output);
  } catch (error) {
    await end(child);
    throw error;
  }
  return { output, ...questions(url), stop: () => end(child) };
}

async function writeConfiguration(folder: string, target: string): Promise<void> {
  const scrape = parse(readDeployed('prometheus/prometheus.yaml')) as ScrapeFile;
  scrape.global = { ...scrape.global, scrape_interval: '1s', evaluation_interval: '1s' };
  for (const job of scrape.scrape_configs) job.static_configs = [{ targets: [target] }];
  const rules = parse(readDeployed('prometheus/rules.yaml')) as RuleFile;
  for (const { rules: ofGroup } of rules.groups) for (const rule of ofGroup) if (rule.for) rule.for = '2s';
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'prometheus.yaml'), stringify(scrape));
  await writeFile(join(folder, 'rules.yaml'), stringify(rules));
}

async function isReady(url: string, child: ChildProcess): Promise<true | undefined> {
  if (child.exitCode !== null) throw new Error(`Prometheus ended with ${child.exitCode}`);
  const answer = await fetch(`${url}/-/ready`).catch(() => undefined);
  return answer?.ok ? true : undefined;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const hard = setTimeout(() => child.kill('SIGKILL'), 10_000);
  await ended;
  clearTimeout(hard);
}

function questions(url: string): Omit<Prometheus, 'output' | 'stop'> {
  async function ask<Data>(path: string, params: Record<string, string>): Promise<Data> {
    const answer = await fetch(`${url}/api/v1/${path}?${new URLSearchParams(params)}`);
    const body = (await answer.json()) as { status: string; data: Data; error?: string; warnings?: string[] };
    if (body.status !== 'success') throw new Error(`${path}: ${body.error}`);
    if (body.warnings?.length) throw new Error(`${path}: ${body.warnings.join(', ')}`);
    return body.data;
  }
  return {
    async query(expr) {
      const data = await ask<{
        resultType: string;
        result: { metric: Record<string, string>; value: [number, string] }[];
      }>('query', { query: expr });
      if (data.resultType !== 'vector') throw new Error(`query: ${data.resultType} instead of vector`);
      return data.result.map(({ metric, value }) => ({ metric, values: [Number(value[1])] }));
    },
    async queryRange(expr, seconds) {
      const now = Date.now() / 1_000;
      const window = { start: String(now - seconds), end: String(now), step: '1' };
      const data = await ask<{ result: { metric: Record<string, string>; values: [number, string][] }[] }>(
        'query_range',
        {
          query: expr,
          ...window,
        },
      );
      return data.result.map(({ metric, values }) => ({ metric, values: values.map(([, value]) => Number(value)) }));
    },
    labelValues: (series, label) => ask<string[]>(`label/${label}/values`, { 'match[]': series }),
    async targets() {
      return (await ask<{ activeTargets: { health: string; lastError: string }[] }>('targets', {})).activeTargets;
    },
    async rules() {
      return (await ask<{ groups: { rules: RuleState[] }[] }>('rules', {})).groups.flatMap(({ rules }) => rules);
    },
  };
}
