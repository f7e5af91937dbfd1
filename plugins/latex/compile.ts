// Step latex.compile: a LaTeX document to a PDF, by the pdflatex of the PATH, without a way out of its own folder.
import { defineStep, StepError } from 'cronwright/plugin';
import { z } from 'zod';
import { type Cut, compileFailure, firstError } from './compile-failure.ts';
import { documentSource } from './document-source.ts';
import { type EngineBounds, runEngine } from './run-engine.ts';

const input = z.strictObject({
  source: documentSource.describe('The whole document; it cannot read other files.'),
  name: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$/, 'expected letters, digits, - and _')
    .default('document')
    .describe('Name of the PDF, without its ending.'),
  timeout_seconds: z.number().min(0.1).max(600).default(30).describe('For all passes together; then it is killed.'),
  max_bytes: z
    .int()
    .min(10_000)
    .max(268_435_456)
    .default(33_554_432)
    .describe('Of the PDF, and of each file on the way.'),
});

const output = z.object({
  id: z.string().describe('Of the artifact.'),
  name: z.string(),
  sha256: z.string(),
  bytes: z.int(),
  pages: z.int(),
  url: z.string().describe('The artifact’s address in the API, from the daemon’s root.'),
  passes: z.int(),
  source: z.string().describe('What was compiled: after repairs not what came in at first.'),
});

export const compile = defineStep({
  description: 'Compiles a LaTeX document to a PDF.',
  input,
  output,
  effects: 'none',
  idempotency: 'natural',
  isolation: 'inline',
  weight: 'heavy',
  limits: 'obeyed',
  async run(ctx, { source, name, timeout_seconds, max_bytes }) {
    const bounds: EngineBounds = { timeoutMs: Math.round(timeout_seconds * 1_000), maxBytes: max_bytes };
    const { pdf, log, cut, passes } = await runEngine(ctx, source, bounds);
    if (cut !== undefined) throw compileFailure(source, { line: null, message: whyCut(cut, bounds) }, { reason: cut });
    if (pdf === undefined || log === undefined) {
      const found = pdf === undefined && /No pages of output/.test(log ?? '') ? noPages : firstError(log ?? '');
      const kept = await ctx.artifacts.put({ name: `${name}.log`, mediaType: 'text/plain', content: log ?? '' });
      throw compileFailure(source, found, { log: log ?? '', logArtifact: kept.id, reason: 'error' });
    }
    const pages = Number(/Output written on .*? \((\d+) pages?,/s.exec(log)?.[1] ?? 0);
    if (pages === 0)
      throw new StepError('transient', 'the engine wrote a PDF and did not say so', { name: 'EngineError' });
    const artifact = await ctx.artifacts.put({ name: `${name}.pdf`, mediaType: 'application/pdf', content: pdf });
    const url = `/api/v1/runs/${ctx.runId}/artifacts/${artifact.id}`;
    const { id, sha256, size: bytes } = artifact;
    return { id, name: artifact.name, sha256, bytes, pages, url, passes, source };
  },
});

const noPages = { line: null, message: 'the document has no pages' };

function whyCut(cut: Cut, { timeoutMs, maxBytes }: EngineBounds): string {
  const reasons: Readonly<Record<Cut, string>> = {
    timeout: `it did not come to an end within ${timeoutMs / 1_000} s and was killed: is there a macro that calls itself?`,
    memory: 'it took more memory than the step may use and was killed',
    processor: 'it took more processor time than the step may use and was killed',
    output: `it wrote more than ${maxBytes} bytes (max_bytes), or printed without end, and was killed`,
  };
  return reasons[cut];
}
