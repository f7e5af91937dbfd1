// Runs a step in a process of its own: starts it, speaks the step protocol with it, and ends its whole tree.
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { abortReasonOf } from '../abort-reason.ts';
import { type ErrorClass, type Json, type StepContext, StepError } from '../api.ts';
import type { Attempt } from '../attempt-services.ts';
import { toStoredError } from '../classify-error.ts';
import type { RegisteredStep } from '../registry.ts';
import { SecretMask } from '../secret-mask.ts';
import { killAfterMs, maxMessageCharacters, processMemoryBytes, processOutputBytes } from '../step-limits.ts';
import { answerCall } from './answer-call.ts';
import { explainDeath, explainThrown } from './explain-death.ts';
import { findProgram } from './find-program.ts';
import { createProcessTree } from './kill-tree.ts';
import { createMessageReader } from './message-reader.ts';
import { outputLimit, type ProgramLimits } from './program-limits.ts';
import { type HostMessage, protocolVersion, type RemoteContext } from './protocol.ts';
import { type HostProcess, startProcess } from './start-process.ts';
import { watchUsage } from './watch-usage.ts';

export interface ProcessLimits {
  /** Heap of the step's process in MB; default: half of the memory that its step may use. */
  memoryMb?: number;
}

const usualLimits: ProgramLimits = { memoryBytes: processMemoryBytes, outputBytes: processOutputBytes };

/** Milliseconds for the pipes of a process that has ended to empty. */
const lingerMs = 1_000;
/** Calls of one step that may wait for an answer; a plugin in a loop must not fill the node. */
const mostPendingCalls = 1_000;

/** Resolves with what the step returned, rejects with what it threw, with how its process died, or with the signal's reason. */
export async function runInProcess(
  step: RegisteredStep,
  ctx: StepContext,
  input: unknown,
  host: ProcessLimits = {},
  compensation?: Attempt['compensation'],
): Promise<unknown> {
  const limits = { ...usualLimits, ...ctx.limits };
  const { memoryBytes = processMemoryBytes, outputBytes = processOutputBytes } = limits;
  const heapMb = host.memoryMb ?? Math.floor(memoryBytes / 2_097_152);
  const exchange = await mkdtemp(join(tmpdir(), 'cronwright-step-'));
  try {
    ctx.signal.throwIfAborted();
    const env = { ...ctx.host.programEnv, ...ctx.env };
    const program = step.command && { command: findProgram(step.command, env.PATH), cwd: ctx.workspace };
    const started = await startProcess({ env, heapMb, limits, ...(program && { program }) });
    const exited = once(started.child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
    const tree = createProcessTree(started.pid);
    const explain = (error: StepError) => explainThrown(step.id, error, heapMb, limits);
    const conversation = converse(started, ctx, exchange, explain, () => tree.signal('SIGKILL'));
    const stderr = keepTail(started.stderr);
    const room = createOutputRoom(outputBytes, () => conversation.fail(outputLimit(outputBytes)));
    started.stdout.setEncoding('utf8').on('data', (chunk: string) => room(chunk) && ctx.output('stdout', chunk));
    started.stderr.setEncoding('utf8').on('data', (chunk: string) => room(chunk) && ctx.output('stderr', chunk));
    const stopWatching = watchUsage(started.pid, limits, (error) => conversation.fail(error));

    let killTimer: NodeJS.Timeout | undefined;
    const onAbort = () => {
      const reason = ctx.signal.reason as Error;
      conversation.send({ type: 'abort', reason: abortReasonOf(reason), message: reason.message });
      tree.signal('SIGTERM');
      killTimer = setTimeout(() => tree.signal('SIGKILL'), killAfterMs);
    };
    ctx.signal.addEventListener('abort', onAbort, { once: true });
    conversation.send({
      type: 'start',
      protocol: protocolVersion,
      plugin: step.source,
      step: step.name,
      ...(compensation === undefined ? {} : { compensates: true, output: compensation.output }),
      input,
      context: remoteContext(ctx),
      exchange,
    });
    try {
      const [exitCode, signal] = await exited;
      await emptied([started.stdout, started.stderr, started.messages], ctx.signal.aborted ? killAfterMs : lingerMs);
      if (conversation.result) return conversation.result();
      if (ctx.signal.aborted) throw ctx.signal.reason;
      throw explainDeath(step.id, { exitCode, signal, stderr: stderr(), heapMb, limits });
    } finally {
      ctx.signal.removeEventListener('abort', onAbort);
      clearTimeout(killTimer);
      stopWatching();
      // Nothing that the step started outlives it, however it ended.
      tree.signal('SIGKILL');
      const { stdin, stdout, messages, lifeline } = started;
      for (const stream of [stdin, stdout, started.stderr, messages, lifeline]) stream.destroy();
    }
  } finally {
    await rm(exchange, { recursive: true, force: true });
  }
}

interface Conversation {
  send(message: HostMessage): void;
  /** Ends the process, and with it the attempt, unless it has said its result. */
  fail(error: StepError): void;
  /** Set once the step has said its result: returns it, or throws what the step threw. */
  readonly result: (() => unknown) | undefined;
}

function converse(
  host: HostProcess,
  ctx: StepContext,
  exchange: string,
  explain: (error: StepError) => StepError,
  kill: () => void,
): Conversation {
  let result: (() => unknown) | undefined;
  let pending = 0;

  const settle = (by: () => unknown) => {
    if (result) return;
    result = by;
    // While the process still lives, so that who left its group is found as its descendant.
    kill();
  };
  const send = (message: HostMessage) => {
    if (host.stdin.writable) host.stdin.write(`${JSON.stringify(message)}\n`);
  };
  const fail = (error: StepError) => {
    settle(() => {
      throw error;
    });
  };
  const broken = (why: string) => fail(new StepError('fatal', `step protocol: ${why}`, { name: 'ProtocolError' }));
  const answer = async (id: number, method: string, params: unknown) => {
    pending++;
    try {
      send({ type: 'answer', id, value: await answerCall(ctx, method, params, exchange) });
    } catch (thrown) {
      send({ type: 'answer', id, error: toStoredError(thrown, new SecretMask()) });
    } finally {
      pending--;
    }
  };

  const onMessage = (message: Record<string, unknown>) => {
    if (result) return;
    switch (message.type) {
      case 'log':
        return say(ctx, message);
      case 'output':
        return ctx.output(message.stream === 'stderr' ? 'stderr' : 'stdout', String(message.chunk));
      case 'progress': {
        const [done, total] = [Number(message.done), Number(message.total)];
        return ctx.progress(
          typeof message.message === 'string' ? { done, total, message: message.message } : { done, total },
        );
      }
      case 'event':
        return ctx.event(String(message.event), (message.data ?? null) as Json);
      case 'call':
        if (pending >= mostPendingCalls) return broken(`more than ${mostPendingCalls} calls wait for an answer`);
        return void answer(Number(message.id), String(message.method), message.params);
      case 'completed':
        return settle(() => message.output);
      case 'failed': {
        return fail(explain(remoteError(message.error)));
      }
      default:
        return broken(`there is no message of type ${JSON.stringify(message.type)}`);
    }
  };
  const read = createMessageReader({
    maxCharacters: maxMessageCharacters,
    onBroken: broken,
    onMessage: (message) => {
      try {
        onMessage(message);
      } catch (error) {
        broken(error instanceof Error ? error.message : String(error));
      }
    },
  });
  host.messages.setEncoding('utf8').on('data', read);
  // A process that died closes its pipes; what that means is said by its exit.
  for (const stream of [host.stdin, host.stdout, host.stderr, host.messages, host.lifeline]) {
    stream.on('error', () => {});
  }
  return {
    send,
    fail,
    get result() {
      return result;
    },
  };
}

function say(ctx: StepContext, { level, message, fields }: Record<string, unknown>): void {
  const method = level === 'debug' || level === 'warn' || level === 'error' ? level : 'info';
  const isRecord = typeof fields === 'object' && fields !== null;
  ctx.log[method](String(message), isRecord ? (fields as Record<string, unknown>) : undefined);
}

const classes: readonly ErrorClass[] = ['transient', 'fatal', 'rate_limited', 'item'];

/** Throws where the message names no class: whether the step is tried again must not be a guess. */
function remoteError(thrown: unknown): StepError {
  const error = (typeof thrown === 'object' && thrown !== null ? thrown : {}) as Record<string, unknown>;
  const errorClass = classes.find((one) => one === error.class);
  if (errorClass === undefined) {
    const got = (JSON.stringify(error.class) ?? 'none').slice(0, 100);
    throw new Error(`an error has one of the classes ${classes.join(', ')}; got ${got}`);
  }
  return new StepError(errorClass, typeof error.message === 'string' ? error.message : 'no message', {
    ...(typeof error.name === 'string' ? { name: error.name } : {}),
    ...(typeof error.retryAfterMs === 'number' ? { retryAfterMs: error.retryAfterMs } : {}),
    ...(typeof error.key === 'string' ? { key: error.key } : {}),
    ...(error.scope === 'run' ? { scope: 'run' } : {}),
    ...(error.details === undefined ? {} : { details: error.details as Json }),
  });
}

function remoteContext(ctx: StepContext): RemoteContext {
  const { idempotencyKey, token, attempt, tenant, runId, pipeline, step, dryRun, workspace, env, host } = ctx;
  const known = { idempotencyKey, token, attempt, tenant, runId, pipeline, step, dryRun, workspace, env, host };
  const { item = null, traceparent = null, delivery = null, compensation = null } = ctx;
  return { ...known, item, traceparent, delivery, compensation };
}

/** Waits until all streams have ended, at most so long: someone who left the group may hold them open. */
async function emptied(streams: readonly Readable[], ms: number): Promise<void> {
  const open = streams.filter((stream) => !stream.closed).map((stream) => once(stream, 'close'));
  let timer: NodeJS.Timeout | undefined;
  const timeUp = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([Promise.allSettled(open), timeUp]);
  clearTimeout(timer);
}

/** Says of each chunk whether it may be passed on; what comes after the last byte that may is dropped. */
function createOutputRoom(bytes: number, onFull: () => void): (chunk: string) => boolean {
  let left = bytes;
  return (chunk) => {
    if (left < 0) return false;
    left -= chunk.length;
    if (left < 0) onFull();
    return left >= 0;
  };
}

function keepTail(stream: Readable): () => string {
  let tail = '';
  stream.on('data', (chunk: string) => {
    tail = (tail + chunk).slice(-8_192);
  });
  return () => tail;
}
