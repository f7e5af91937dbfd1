// Reads the JSON files in which an older worksheet service kept its jobs and conversations; what is broken is named, not fatal.
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { CronwrightError, errorMessage } from '../../domain/errors.ts';

export interface OlderMessage {
  role: 'system' | 'user' | 'assistant';
  content: string;
}

/** A job as the file has it, whatever its names looked like. */
export interface OlderJob {
  file: string;
  id: string;
  userId: string;
  status: string;
  currentStep: string;
  prompt: string;
  /** Text, or JSON. */
  design: unknown;
  latex: string;
  pdfUrl: string;
  errorMessage: string;
  errorLog: string;
  conversationId: string;
  retryCount: number | null;
  maxRetries: number | null;
  createdAt: string;
  updatedAt: string;
  messages: OlderMessage[];
}

export interface Unreadable {
  file: string;
  /** Of the job, where it has one. */
  id: string | null;
  why: string;
}

export interface JobFiles {
  jobs: OlderJob[];
  unreadable: Unreadable[];
}

/** Bytes of one file. */
const mostBytes = 67_108_864;

/** Throws `invalid_input` where there is no such folder, or no JSON file in it. */
export async function readJobFiles(folder: string): Promise<JobFiles> {
  const files = await listFiles(folder);
  const found: JobFiles = { jobs: [], unreadable: [] };
  const threads = new Map<string, OlderMessage[]>();
  for (const file of files) {
    try {
      takeFile(file, parse(await readBounded(join(folder, file))), found, threads);
    } catch (error) {
      found.unreadable.push({ file, id: null, why: errorMessage(error) });
    }
  }
  for (const job of found.jobs) {
    if (job.messages.length === 0) job.messages = threads.get(job.conversationId) ?? [];
  }
  refuseTwice(found);
  return found;
}

async function listFiles(folder: string): Promise<string[]> {
  let names: string[];
  try {
    names = await readdir(folder, { recursive: true });
  } catch (error) {
    throw new CronwrightError('invalid_input', `${folder} cannot be read: ${errorMessage(error)}`, { cause: error });
  }
  const files = names.filter((name) => name.toLowerCase().endsWith('.json')).sort();
  if (files.length > 0) return files;
  throw new CronwrightError('invalid_input', `${folder} has no file *.json`);
}

async function readBounded(path: string): Promise<string> {
  const { size } = await stat(path);
  if (size > mostBytes) throw new Error(`it has ${size} bytes, at most ${mostBytes} are read`);
  return readFile(path, 'utf8');
}

function parse(text: string): unknown {
  if (text.trim() === '') throw new Error('it is empty');
  try {
    return JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch (error) {
    throw new Error(`it is no JSON: ${errorMessage(error)}`);
  }
}

/** A job, a conversation, a list of either, or an object with `jobs` and `conversations`, as lists or by id. */
function takeFile(file: string, value: unknown, found: JobFiles, threads: Map<string, OlderMessage[]>): void {
  if (Array.isArray(value)) {
    for (const one of value) takeFile(file, one, found, threads);
    return;
  }
  const fields = fieldsOf(value);
  if (fields === undefined) throw new Error('expected a job, a conversation or a list of them');
  if (fields.has('jobs') || fields.has('conversations')) {
    for (const name of ['conversations', 'jobs']) {
      for (const one of entriesOf(fields.get(name))) takeFile(file, one, found, threads);
    }
    return;
  }
  try {
    if (fields.has('messages') && !fields.has('prompt'))
      threads.set(textOf(fields, 'id'), messagesOf(fields.get('messages')));
    else found.jobs.push(toJob(file, fields));
  } catch (error) {
    found.unreadable.push({ file, id: textOf(fields, 'id') || null, why: errorMessage(error) });
  }
}

/** By id: the key is the id of one that does not say its own. */
function entriesOf(value: unknown): unknown[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value;
  if (typeof value !== 'object') throw new Error('jobs and conversations are lists, or objects by id');
  return Object.entries(value).map(([id, one]) =>
    Array.isArray(one) ? { id, messages: one } : typeof one === 'object' && one !== null ? { id, ...one } : one,
  );
}

type Fields = ReadonlyMap<string, unknown>;

/** `CurrentStep`, `current_step` and `currentStep` are one name. */
function fieldsOf(value: unknown): Fields | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  return new Map(Object.entries(value).map(([name, one]) => [name.toLowerCase().replace(/[_-]/g, ''), one]));
}

function toJob(file: string, fields: Fields): OlderJob {
  const id = textOf(fields, 'id') || textOf(fields, 'jobid');
  if (id === '') throw new Error('ID is missing');
  if (id.length > 200) throw new Error(`ID has ${id.length} characters, at most 200 can be`);
  const status = textOf(fields, 'status').toLowerCase();
  if (status === '') throw new Error('Status is missing');
  const conversation = fieldsOf(fields.get('conversation'));
  return {
    file,
    id,
    userId: textOf(fields, 'userid'),
    status,
    currentStep: textOf(fields, 'currentstep').toLowerCase() || 'prompt',
    prompt: textOf(fields, 'prompt'),
    design: fields.get('design') ?? '',
    latex: textOf(fields, 'latex'),
    pdfUrl: textOf(fields, 'pdfurl'),
    errorMessage: textOf(fields, 'errormessage'),
    errorLog: logOf(fields.get('errorlog')),
    conversationId: textOf(fields, 'conversationid'),
    retryCount: countOf(fields, 'retrycount'),
    maxRetries: countOf(fields, 'maxretries'),
    createdAt: textOf(fields, 'createdat'),
    updatedAt: textOf(fields, 'updatedat'),
    messages: messagesOf(fields.get('messages') ?? conversation?.get('messages') ?? fields.get('conversation')),
  };
}

function textOf(fields: Fields, name: string): string {
  const value = fields.get(name);
  if (value === undefined || value === null) return '';
  if (typeof value === 'string') return value;
  if (typeof value === 'number') return String(value);
  throw new Error(`${name} is ${Array.isArray(value) ? 'a list' : typeof value}, expected text`);
}

/** Text, a list of lines, or an object such as `{Log, Snippet, Line}`. */
function logOf(value: unknown): string {
  if (value === undefined || value === null) return '';
  return typeof value === 'string' ? value : JSON.stringify(value, null, 1);
}

function countOf(fields: Fields, name: string): number | null {
  const value = fields.get(name);
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 ? value : null;
}

const roles = ['system', 'user', 'assistant'] as const;

function messagesOf(value: unknown): OlderMessage[] {
  if (value === undefined || value === null || typeof value === 'string') return [];
  if (!Array.isArray(value)) throw new Error('Messages is no list');
  return value.map((one, i) => {
    const fields = fieldsOf(one);
    const said = fields && textOf(fields, 'role').toLowerCase();
    const role = roles.find((known) => known === said);
    if (!fields || !role)
      throw new Error(`Messages[${i}] has the role ${said ?? 'nothing'}, expected one of ${roles.join(', ')}`);
    return { role, content: textOf(fields, 'content') };
  });
}

/** Of two jobs with one id nobody knows which is the newer. */
function refuseTwice(found: JobFiles): void {
  const first = new Map<string, OlderJob>();
  found.jobs = found.jobs.filter((job) => {
    const other = first.get(job.id);
    if (other === undefined) {
      first.set(job.id, job);
      return true;
    }
    found.unreadable.push({ file: job.file, id: job.id, why: `its ID stands in ${other.file} already` });
    return false;
  });
}
