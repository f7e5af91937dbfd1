// The pipeline worksheet on one daemon: from a prompt to a PDF, every way of a document that does not compile, kill -9, refinement, import.
import { appendFile, cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packageRoot } from '../../../src/base/package-root.ts';
import {
  createDaemonFolder,
  type Daemon,
  type DaemonFolder,
  eventually,
  startDaemon,
} from '../../support/daemon-process.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { hasPdflatex } from '../../support/has-pdflatex.ts';
import { cronwright } from '../../unit/cli/memory-context.ts';

interface Run {
  id: string;
  state: string;
  wait_kind: string | null;
  error: { name: string; message: string } | null;
  waits: {
    key: string;
    state: string;
    asked_by: string;
    kind: string;
    decision: string | null;
    message: string | null;
    choices: string[] | null;
    form: { error: { details: Record<string, unknown> }; input: { source: string } } | null;
  }[];
}
interface Step {
  step: string;
  state: string;
  attempts: number;
  edited: boolean;
  output: Record<string, unknown> | null;
}
interface Message {
  role: string;
  content: string;
}
interface Job {
  id: string;
  status: string;
  current_step: string;
  latex: string;
  pdf_url: string;
  error_message: string;
  error_log: string;
  retry_count: number;
  max_retries: number;
  user_id: string;
  conversation_id: string;
}

const prompt = 'Create a math worksheet';
const isThere = hasPdflatex();
const article = (body: string) => `\\documentclass{article}\n\\begin{document}\n${body}\n\\end{document}\n`;
const broken = article('Salt & pepper');
const hopeless = article('\\def\\x{\\x}\\x');

let folder: DaemonFolder;
let database: TestDatabase;
let daemon: Daemon;
let configDir: string;
/** The run whose checkpoints others are forked from. */
let first: string;

beforeAll(async () => {
  if (!isThere) return;
  folder = await createDaemonFolder();
  // A server: two starts on it take less than one on the embedded database, which `npm run examples` uses.
  database = await createTestDatabase('postgres');
  // The example's, with leases that lapse while a test can wait.
  configDir = join(folder.path, 'config');
  await cp(join(packageRoot, 'examples/worksheet/config'), configDir, { recursive: true });
  await appendFile(join(configDir, 'cronwright.yaml'), 'timing: { lease: 2s, heartbeat: 300ms, rescue: 300ms }\n');
  daemon = await startHere();
});
afterAll(async () => {
  await daemon?.kill();
  await database?.close();
  await folder?.remove();
});

async function startHere(): Promise<Daemon> {
  const dataDir = join(folder.path, 'data');
  return startDaemon({ dataDir, configDir, env: { DATABASE_URL: database.url ?? '' } });
}

const runOf = (id: string) => daemon.get<Run>(`/runs/${id}`);
const jobOf = async (id: string) => (await daemon.ask(`/jobs/${id}`)).body as Job;
const stepsOf = async (id: string) =>
  Object.fromEntries((await daemon.get<{ items: Step[] }>(`/runs/${id}/steps`)).items.map((step) => [step.step, step]));

async function start(inputs: object = { prompt, user_id: 'u-1' }): Promise<string> {
  return (await daemon.post<{ id: string }>('/pipelines/worksheet/runs', { inputs })).id;
}

/** A run that compiles this source: what the first one planned, with another document in place of its own. */
async function startWith(source: string): Promise<string> {
  const latex = { source, lines: 1, model: 'by hand', usd: 0, prompt_hash: '' };
  return (await daemon.post<{ id: string }>(`/runs/${first}/fork`, { from: 'compile', outputs: { latex } })).id;
}

async function until(id: string, state: string, withinMs = 30_000): Promise<Run> {
  let last: Run | undefined;
  return eventually(
    `run ${id} is ${state}`,
    async () => {
      last = await runOf(id);
      return last.state === state && (state !== 'waiting' || last.waits[0]?.state === 'open') ? last : undefined;
    },
    withinMs,
    () => [last, daemon.output().slice(-1_500)],
  );
}

const signal = (id: string, body: object) => daemon.post(`/runs/${id}/signal`, body);

async function pdfOf(id: string): Promise<Buffer> {
  const { url } = (await stepsOf(id)).compile?.output as { url: string };
  const answer = await fetch(new URL(url, daemon.url));
  expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'application/pdf']);
  return Buffer.from(await answer.arrayBuffer());
}

async function conversationOf(id: string): Promise<Message[]> {
  const answer = await daemon.get<{ items: Message[] }>(`/runs/${id}/conversations?thread=main&limit=500`);
  return answer.items.map(({ role, content }) => ({ role, content }));
}

describe.runIf(isThere)('a worksheet', () => {
  it('is there within 30 seconds of its prompt, described and tagged, as a PDF with an address', async () => {
    const from = performance.now();
    first = await start();
    await until(first, 'completed', 30_000);
    console.log(`"${prompt}": completed after ${Math.round(performance.now() - from)} ms`);
    const steps = await stepsOf(first);
    expect(Object.keys(steps)).toEqual(['prompt', 'refine', 'design', 'latex', 'compile', 'description', 'tags']);
    expect(steps.description?.output?.description).toContain('Math worksheet: 32 exercises');
    expect(steps.tags?.output?.tags).toContain('math');
    expect((await pdfOf(first)).toString('latin1', 0, 5)).toBe('%PDF-');
    expect(await jobOf(first)).toMatchObject({
      ...{ id: first, status: 'completed', current_step: 'done', user_id: 'u-1', error_message: '' },
      ...{ retry_count: 0, max_retries: 3, pdf_url: steps.compile?.output?.url },
    });
  });

  it('is the same, byte for byte, from the same prompt', async () => {
    const second = await start();
    await until(second, 'completed');
    expect((await pdfOf(second)).equals(await pdfOf(first))).toBe(true);
  });

  it('is not begun where the prompt is none', async () => {
    const run = await until(await start({ prompt: ' \n ' }), 'failed');
    expect(run.error).toMatchObject({ name: 'InvalidPrompt' });
  });

  it('is refined by a message, with all in mind that was said', async () => {
    const fork = { inputs: { refine: ['Make it more minimal'] }, conversation: 'whole' };
    const { id, kept_steps } = await daemon.post<{ id: string; kept_steps: string[] }>(`/runs/${first}/fork`, fork);
    expect(kept_steps).toEqual(['prompt']);
    await until(id, 'completed');
    const steps = await stepsOf(id);
    const exercises = (design: unknown) =>
      (design as { sections: { exercises: unknown[] }[] }).sections.flatMap((one) => one.exercises);
    expect(exercises(steps.design?.output?.design)).toHaveLength(16);
    const before = await conversationOf(first);
    const after = await conversationOf(id);
    expect(before).toHaveLength(8);
    expect(after.slice(0, 8)).toEqual(before);
    expect(after).toHaveLength(18);
    expect(after[8]?.content).toContain('Make it more minimal');
    expect((await pdfOf(id)).equals(await pdfOf(first))).toBe(false);
  });
});

describe.runIf(isThere)('a document that does not compile', () => {
  it('is edited by a person, over the older route, and compiled again', async () => {
    const id = await startWith(broken);
    const run = await until(id, 'waiting');
    const [asked] = run.waits;
    expect(asked).toMatchObject({ kind: 'manual_edit', asked_by: 'error', choices: ['manual_edit', 'ai_fix', 'fail'] });
    expect(asked?.form?.error.details).toMatchObject({ line: 3, reason: 'error' });
    expect(asked?.form?.error.details.snippet).toContain('> 3 | Salt & pepper');
    const job = await jobOf(id);
    expect(job).toMatchObject({ status: 'waiting_manual', current_step: 'compile', latex: broken });
    expect(job.error_message).toContain('line 3: Misplaced alignment tab character &');
    expect(job.error_log).toContain('pdfTeX');
    const log = await fetch(
      new URL(`/api/v1/runs/${id}/artifacts/${asked?.form?.error.details.log_artifact}`, daemon.url),
    );
    expect(await log.text()).toContain('Misplaced alignment tab');

    // As people on call see it.
    const page = await (await fetch(new URL(`/runs/${id}`, daemon.url))).text();
    expect(page).toContain('&gt; 3 | Salt &amp; pepper');
    expect((await cronwright(['signal', id, '--url', daemon.url])).out).toContain('> 3 | Salt & pepper');

    const edit = (body: object) => daemon.ask(`/jobs/${id}/latex`, { method: 'POST', json: body });
    expect((await edit({ latex: '' })).status).toBe(400);
    expect((await edit({ latex: article('Salt \\& pepper') })).status).toBe(200);
    await until(id, 'completed');
    expect(await jobOf(id)).toMatchObject({ status: 'completed', latex: article('Salt \\& pepper'), retry_count: 0 });
    expect((await edit({ latex: 'x' })).status).toBe(409);
    // The rules of the API hold here, too.
    expect((await daemon.ask(`/jobs/${id}`, { headers: { origin: 'https://elsewhere.example' } })).status).toBe(403);
    expect((await daemon.ask(`/jobs/${id}`, { headers: { host: 'elsewhere.example' } })).status).toBe(403);
    expect((await daemon.ask(`/jobs/${id}/latex`, { method: 'POST', text: 'latex=x' })).status).toBe(415);
    expect((await daemon.ask('/jobs/no-such-job')).status).toBe(404);
  });

  it('is repaired where that is chosen, one fault after another', async () => {
    const id = await startWith(article('Salt & pepper\n\nnumber #1'));
    await until(id, 'waiting');
    await signal(id, { decision: 'ai_fix' });
    const run = await until(id, 'completed');
    const fixes = run.waits.filter((wait) => wait.asked_by === 'fix');
    expect(fixes.map((wait) => [wait.key, wait.decision]).sort()).toEqual([
      ['ai_fix/1', 'fixed'],
      ['ai_fix/2', 'fixed'],
    ]);
    expect(await jobOf(id)).toMatchObject({
      status: 'completed',
      retry_count: 2,
      latex: article('Salt \\& pepper\n\nnumber \\#1'),
    });
    const said = await conversationOf(id);
    expect(said.filter(({ content }) => content.startsWith('The document does not compile'))).toHaveLength(2);
  });

  it('waits for a person where a repair fails, and where none is left; nothing is lost', async () => {
    const id = await startWith(article('A & b\n\nC & d\n\nE & f\n\nG & h'));
    await until(id, 'waiting');
    await signal(id, { decision: 'ai_fix' });
    const exhausted = await eventually('three repairs and a question', async () => {
      const run = await runOf(id);
      const fixes = run.waits.filter((wait) => wait.asked_by === 'fix');
      return fixes.length === 3 && run.state === 'waiting' ? run : undefined;
    });
    const asked = exhausted.waits.find((wait) => wait.state === 'open');
    expect(asked?.message).toMatch(/^Max retries exceeded \(3 of 3 repairs\)\. CompileError: line 9/);
    expect(asked?.choices).toEqual(['manual_edit', 'fail']);
    expect(asked?.form?.input.source).toBe(article('A \\& b\n\nC \\& d\n\nE \\& f\n\nG & h'));
    expect(await jobOf(id)).toMatchObject({ status: 'waiting_manual', retry_count: 3 });

    // An endless macro is killed; against it the built-in repairs know nothing.
    await signal(id, { decision: 'manual_edit', with: { source: hopeless, timeout_seconds: 0.5 } });
    const again = await eventually('the next question', async () => {
      const run = await runOf(id);
      const open = run.waits.find((wait) => wait.state === 'open');
      return open !== undefined && open.key !== asked?.key ? open : undefined;
    });
    expect(again.message).toContain('did not come to an end within 0.5 s and was killed');
    await signal(id, { decision: 'manual_edit', with: { source: article('done'), timeout_seconds: 30 } });
    await until(id, 'completed');
  });

  it('asks a person where the repair itself fails', async () => {
    const id = await startWith(hopeless);
    // 30 seconds are its usual time: a person may give it less.
    const edited = await daemon.post<{ id: string }>(`/runs/${first}/fork`, {
      from: 'compile',
      outputs: { latex: { source: article('\\input{/etc/passwd}'), lines: 1, model: '', usd: 0, prompt_hash: '' } },
    });
    await daemon.post(`/runs/${id}/cancel`);
    const run = await until(edited.id, 'waiting');
    expect(JSON.stringify(run)).not.toContain('root:x');
    await signal(edited.id, { decision: 'ai_fix' });
    const failed = await eventually('a failed repair', async () => {
      const now = await runOf(edited.id);
      return now.waits.find((wait) => wait.state === 'open' && wait.message?.startsWith('AI fix failed'));
    });
    expect(failed.message).toMatch(/^AI fix failed \(1 of 3 repairs\): the built-in repairs know nothing against/);
    expect(failed.choices).toEqual(['manual_edit', 'ai_fix', 'fail']);
    expect((await until(id, 'cancelled')).state).toBe('cancelled');
    expect(await jobOf(id)).toMatchObject({ status: 'aborted' });
  });
});

describe.runIf(isThere)('the older service', () => {
  it('is left: its jobs go on where they stood, twice is once, and broken files stop nothing', async () => {
    const storage = join(folder.path, 'storage/pipeline');
    await mkdir(storage, { recursive: true });
    const base = { UserID: 'u-7', Prompt: prompt, RetryCount: 1, MaxRetries: 3, ConversationID: 'c-1' };
    const jobs: Record<string, object> = {
      'new.json': { ID: 'job-new', Status: 'pending', CurrentStep: 'prompt', ...base },
      'designed.json': {
        ID: 'job-designed',
        Status: 'running',
        CurrentStep: 'latex',
        ...base,
        Design: 'Ten sums & a riddle, 100 %.',
      },
      'stuck.json': {
        ID: 'job-stuck',
        Status: 'waiting_manual',
        CurrentStep: 'compile',
        ...base,
        Latex: broken,
        ErrorMessage: 'oops',
      },
      'done.json': {
        ID: 'job-done',
        Status: 'completed',
        CurrentStep: 'done',
        ...base,
        Latex: article('x'),
        PDFURL: '/pdf/1.pdf',
      },
      'gone.json': { ID: 'job-gone', Status: 'aborted', CurrentStep: 'design', ...base },
      'odd.json': { ID: 'job-odd', Status: 'dancing', CurrentStep: 'design', ...base },
      'conversations.json': {
        conversations: {
          'c-1': {
            Messages: [
              { Role: 'user', Content: 'said before' },
              { Role: 'assistant', Content: 'answered before' },
            ],
          },
        },
      },
    };
    for (const [name, job] of Object.entries(jobs)) await writeFile(join(storage, name), JSON.stringify(job));
    await writeFile(join(storage, 'torn.json'), '{"ID": "job-torn", "Sta');

    const dry = await importJobs(storage, '--dry-run');
    expect(dry.counts).toEqual({ imported: 0, would_import: 3, known: 0, skipped: 2, broken: 2 });
    const report = await importJobs(storage);
    expect(report.counts).toEqual({ imported: 3, would_import: 0, known: 0, skipped: 2, broken: 2 });
    const lineOf = (file: string) => report.jobs.find((line) => line.file === file);
    expect(lineOf('torn.json')?.why).toMatch(/no JSON/);
    expect(lineOf('odd.json')?.why).toContain('"dancing"');
    expect(lineOf('done.json')?.why).toContain('/pdf/1.pdf');
    expect((await importJobs(storage)).counts).toEqual({
      imported: 0,
      would_import: 0,
      known: 3,
      skipped: 2,
      broken: 2,
    });

    const designed = String(lineOf('designed.json')?.run_id);
    await until(designed, 'completed');
    const steps = await stepsOf(designed);
    expect([steps.design?.attempts, steps.latex?.attempts]).toEqual([0, 1]);
    expect(String(steps.latex?.output?.source)).toContain('Ten sums \\& a riddle, 100 \\%.');
    expect((await conversationOf(designed)).slice(0, 2).map(({ content }) => content)).toEqual([
      'said before',
      'answered before',
    ]);

    // By the id it had.
    const stuck = String(lineOf('stuck.json')?.run_id);
    await until(stuck, 'waiting');
    expect(await jobOf('job-stuck')).toMatchObject({
      id: stuck,
      status: 'waiting_manual',
      latex: broken,
      user_id: 'u-7',
    });
    await daemon.ask('/jobs/job-stuck/latex', { method: 'POST', json: { latex: article('fine') } });
    await until(stuck, 'completed');
    await until(String(lineOf('new.json')?.run_id), 'completed');
    const recompiled = await importJobs(storage, '--completed');
    expect(recompiled.counts).toMatchObject({ imported: 1, known: 3 });
    await until(String(recompiled.jobs.find((line) => line.file === 'done.json')?.run_id), 'completed');
  });
});

interface Report {
  counts: Record<string, number>;
  jobs: { file: string; result: string; run_id: string | null; why: string | null }[];
}

async function importJobs(storage: string, ...flags: string[]): Promise<Report> {
  const { code, out, err } = await cronwright(['import', storage, '--url', daemon.url, '--json', ...flags]);
  // Two files are broken.
  expect([code, err]).toEqual([1, '']);
  return JSON.parse(out) as Report;
}

describe.runIf(isThere)('a daemon that is killed in the middle', () => {
  it('goes on at the step that was at work, with the whole conversation and the edited document', async () => {
    const id = await startWith(broken);
    await until(id, 'waiting');
    const compiling = await startWith(hopeless);
    await eventually('a compilation at work', async () =>
      (await stepsOf(compiling)).compile?.state === 'running' ? true : undefined,
    );
    const before = await conversationOf(first);
    const saidBefore = await conversationOf(compiling);
    await daemon.kill();
    daemon = await startHere();
    expect(await conversationOf(first)).toEqual(before);
    expect(await conversationOf(compiling)).toEqual(saidBefore);
    expect(saidBefore).toHaveLength(4);
    // The question is still open, and takes its answer.
    expect(await jobOf(id)).toMatchObject({ status: 'waiting_manual', latex: broken });
    await signal(id, { decision: 'ai_fix' });
    await until(id, 'completed', 60_000);
    const claimsOf = async () => {
      const { items } = await daemon.get<{ items: { event: string }[] }>(`/runs/${compiling}/events`);
      return items.filter(({ event }) => event === 'run.claimed').length;
    };
    const { compile, latex } = await eventually(
      'the compilation at work again',
      async () => {
        const steps = await stepsOf(compiling);
        return (await claimsOf()) >= 2 && steps.compile?.state === 'running' ? steps : undefined;
      },
      60_000,
    );
    expect([compile?.attempts, latex?.edited]).toEqual([expect.toSatisfy((n: number) => n >= 1), true]);
    await daemon.post(`/runs/${compiling}/cancel`);
    await until(compiling, 'cancelled');
  });
});
