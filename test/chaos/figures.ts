// What the chaos tests measured, collected over all files and printed as one table at the end.
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { inject } from 'vitest';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  interface ProvidedContext {
    /** File that figures are appended to. */
    chaosFigures: string;
  }
}

interface Figure {
  fault: string;
  wanted: string;
  seen: string;
}

/** True where `npm run test:chaos` has the time for the numbers of the acceptance; a normal test run takes a short look. */
export const isFull = process.env.CHAOS_FULL === '1';

export function figure(fault: string, wanted: string, seen: string): void {
  appendFileSync(inject('chaosFigures'), `${JSON.stringify({ fault, wanted, seen })}\n`);
}

/** Vitest's global set-up: a place for the figures, and the table once all tests have ended. */
export default function setup(project: TestProject): () => void {
  const folder = mkdtempSync(join(tmpdir(), 'cronwright-chaos-figures-'));
  const file = join(folder, 'figures.jsonl');
  project.provide('chaosFigures', file);
  return () => {
    if (existsSync(file)) tell(readFileSync(file, 'utf8'));
    rmSync(folder, { recursive: true, force: true });
  };
}

function tell(lines: string): void {
  const figures = lines
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Figure);
  const rows = figures.map(({ fault, wanted, seen }) => `| ${fault} | ${wanted} | ${seen} |`);
  const processors = cpus();
  const memory = Math.round(totalmem() / 1024 ** 3);
  const machine = `${processors.length} × ${processors[0]?.model ?? 'unknown'}, ${memory} GB, Node ${process.versions.node}`;
  const day = new Date().toISOString().slice(0, 10);
  const table = ['| fault | wanted | seen |', '|---|---|---|', ...rows, '', `${machine}, ${day}`].join('\n');
  console.log(`\n${table}\n`);
  const report = process.env.CHAOS_REPORT;
  if (report) writeFileSync(report, `${table}\n`);
}
