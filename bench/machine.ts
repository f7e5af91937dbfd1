// What a figure was measured on: without it a figure says nothing.
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { cpus, loadavg, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';

export interface Machine {
  date: string;
  cores: number;
  model: string;
  memoryGb: number;
  node: string;
  postgres: string;
  /** Median and 90th percentile of writing 8 kB and fdatasync, in microseconds. */
  fdatasyncUs: { p50: number; p90: number };
  /** Of the last minute, before the bench: above 0 means that others were at work. */
  load: number;
}

export async function describeMachine(databaseUrl: string): Promise<Machine> {
  const load = loadavg()[0] ?? 0;
  return {
    date: new Date().toISOString().slice(0, 16),
    cores: cpus().length,
    model: cpus()[0]?.model.trim() ?? 'unknown',
    memoryGb: Math.round(totalmem() / 2 ** 30),
    node: process.version,
    postgres: await serverVersion(databaseUrl),
    fdatasyncUs: measureFdatasync(),
    load: Math.round(load * 100) / 100,
  };
}

export function machineLine(machine: Machine): string {
  const { p50, p90 } = machine.fdatasyncUs;
  return [
    `${machine.cores} cores ${machine.model}, ${machine.memoryGb} GB, node ${machine.node}, PostgreSQL ${machine.postgres}`,
    `fdatasync ${p50} µs (p90 ${p90} µs), load ${machine.load} before the start, ${machine.date}Z`,
  ].join('\n');
}

async function serverVersion(url: string): Promise<string> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ server_version: string }>('show server_version');
    return rows[0]?.server_version.split(' ')[0] ?? 'unknown';
  } finally {
    await client.end();
  }
}

function measureFdatasync(): Machine['fdatasyncUs'] {
  const directory = mkdtempSync(join(tmpdir(), 'cronwright-fdatasync-'));
  const file = openSync(join(directory, 'page'), 'w');
  const page = Buffer.alloc(8_192, 1);
  const times: number[] = [];
  for (let i = 0; i < 200; i += 1) {
    writeSync(file, page, 0, page.length, i * page.length);
    const from = performance.now();
    fdatasyncSync(file);
    times.push((performance.now() - from) * 1_000);
  }
  closeSync(file);
  rmSync(directory, { recursive: true, force: true });
  times.sort((a, b) => a - b);
  return { p50: Math.round(times[100] ?? 0), p90: Math.round(times[180] ?? 0) };
}
