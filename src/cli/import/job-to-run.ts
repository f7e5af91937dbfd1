// An older worksheet job as a run of the pipeline worksheet that goes on at the same step.
import { createHash } from 'node:crypto';
import type { OlderJob, OlderMessage } from './read-job-files.ts';

export interface RunToImport {
  source: string;
  inputs: Record<string, unknown>;
  outputs: Record<string, unknown>;
  conversations?: Record<string, OlderMessage[]>;
  facts: Record<string, unknown>;
}

export type Converted =
  | { kind: 'run'; run: RunToImport; goesOnAt: string }
  | { kind: 'skipped'; why: string }
  | { kind: 'broken'; why: string };

const goingOn = ['pending', 'running', 'error', 'failed', 'waiting_manual', 'waiting_ai_fix'];
const steps = ['prompt', 'design', 'latex', 'compile', 'done'] as const;
type Step = (typeof steps)[number];

/** What no model was paid for here. */
const unpaid = { model: '', usd: 0, prompt_hash: '' };
/** Characters of one section of a plan. */
const sectionLength = 20_000;
/** Characters of an older log in the history. */
const shownLog = 8_000;

/** `recompile`: completed ones are compiled again, so that their PDF is here, too. */
export function jobToRun(job: OlderJob, options: { recompile: boolean }): Converted {
  const isCompleted = job.status === 'completed' || job.currentStep === 'done';
  if (job.status === 'aborted' || job.status === 'cancelled') return { kind: 'skipped', why: 'it was aborted' };
  if (isCompleted && !options.recompile) {
    return {
      kind: 'skipped',
      why: `it is completed${job.pdfUrl === '' ? '' : `: ${job.pdfUrl}`} (--completed takes it over)`,
    };
  }
  const known = [...goingOn, 'completed'];
  if (!known.includes(job.status))
    return broken(`Status is "${job.status}", expected one of ${[...known, 'aborted'].join(', ')}`);
  const at = steps.find((step) => step === job.currentStep);
  if (at === undefined) return broken(`CurrentStep is "${job.currentStep}", expected one of ${steps.join(', ')}`);
  if (job.prompt.trim() === '') return broken('Prompt is missing');
  return toRun(job, isCompleted ? 'compile' : at);
}

function toRun(job: OlderJob, at: Step): Converted {
  const outputs: Record<string, unknown> = {};
  const before = (step: Step) => steps.indexOf(at) > steps.indexOf(step);
  if (before('prompt')) {
    const prompt = job.prompt.replace(/\r\n/g, '\n').trim();
    const sha256 = createHash('sha256').update(prompt).digest('hex');
    outputs.prompt = { prompt, words: prompt.split(/\s+/).length, sha256 };
    outputs.refine = { prompt, refined: false, ...unpaid };
  }
  if (before('design')) {
    if (at === 'latex' && isEmpty(job.design)) return broken('CurrentStep is latex, but Design is empty');
    outputs.design = { design: designOf(job), ...unpaid };
  }
  if (before('latex')) {
    if (job.latex.trim() === '') return broken(`CurrentStep is ${job.currentStep}, but Latex is empty`);
    outputs.latex = { source: job.latex, lines: job.latex.split('\n').length, ...unpaid };
  }
  const { messages } = job;
  const run: RunToImport = {
    source: job.id,
    inputs: { prompt: job.prompt, user_id: job.userId },
    outputs,
    ...(messages.length === 0 ? {} : { conversations: { main: messages } }),
    facts: {
      ...{
        status: job.status,
        current_step: job.currentStep,
        pdf_url: job.pdfUrl,
        conversation_id: job.conversationId,
      },
      ...{ error_message: job.errorMessage.slice(0, 2_000), error_log: job.errorLog.slice(-shownLog) },
      ...{
        retry_count: job.retryCount,
        max_retries: job.maxRetries,
        created_at: job.createdAt,
        updated_at: job.updatedAt,
      },
    },
  };
  return { kind: 'run', run, goesOnAt: at };
}

function isEmpty(design: unknown): boolean {
  return design === '' || design === null || design === undefined;
}

/** A plan of this form stays; any other text is what the document says. */
function designOf({ design, prompt }: OlderJob): unknown {
  const value = typeof design === 'string' ? parsed(design) : design;
  if (isPlan(value)) return value;
  const text = isEmpty(design) ? prompt : typeof design === 'string' ? design : JSON.stringify(design, null, 1);
  const sections: unknown[] = [];
  for (let from = 0; from < text.length; from += sectionLength) {
    sections.push({ title: '', text: text.slice(from, from + sectionLength), exercises: [] });
  }
  const title = (prompt.trim().split('\n')[0] ?? 'Document').slice(0, 200);
  return { title, instructions: '', columns: 1, answer_key: false, sections };
}

function isPlan(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const names = ['title', 'instructions', 'columns', 'answer_key', 'sections'];
  return names.every((name) => Object.hasOwn(value, name)) && Object.keys(value).length === names.length;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function broken(why: string): Converted {
  return { kind: 'broken', why };
}
