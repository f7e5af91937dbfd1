// The context of a step in a process of its own: every method is a message to the node.
import { randomUUID } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type ErrorClass, type Log, type StepContext, StepError } from '../api.ts';
import { plainFields } from '../attempt-log.ts';
import { createGuardedFetch } from '../guarded-fetch.ts';
import { reachableAddresses } from '../reachable-addresses.ts';
import type { CallName, Calls, HostMessage, StartMessage, StepMessage } from './protocol.ts';

export interface Caller {
  call<Name extends CallName>(method: Name, params: Calls[Name]['params']): Promise<Calls[Name]['answer']>;
  /** Settles the call that an `answer` belongs to. */
  settle(answer: Extract<HostMessage, { type: 'answer' }>): void;
}

export function createCaller(send: (message: StepMessage) => void): Caller {
  const waiting = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>();
  let lastId = 0;
  return {
    call(method, params) {
      const id = ++lastId;
      return new Promise((resolve, reject) => {
        waiting.set(id, { resolve, reject });
        send({ type: 'call', id, method, params });
      });
    },
    settle(answer) {
      const call = waiting.get(answer.id);
      waiting.delete(answer.id);
      if (!('error' in answer)) return call?.resolve(answer.value as never);
      const { class: errorClass, message, ...rest } = answer.error;
      call?.reject(new StepError(errorClass as ErrorClass, message, rest));
    },
  };
}

export function createRemoteContext(
  { context, exchange }: StartMessage,
  signal: AbortSignal,
  send: (message: StepMessage) => void,
  { call }: Caller,
): StepContext {
  return {
    ...context,
    item: context.item ?? undefined,
    // Kept by the node, for all that this process starts.
    limits: {},
    traceparent: context.traceparent ?? undefined,
    delivery: context.delivery ?? undefined,
    compensation: context.compensation ?? undefined,
    // Guarded here rather than by the node: a process of its own could go anywhere anyway.
    fetch: createGuardedFetch(context.host).fetch,
    lookup: (hostname, port) => reachableAddresses(hostname, port, context.host),
    outbox: { put: () => call('outbox.put', {}) },
    signal,
    log: createLog(send),
    output: (stream, chunk) => send({ type: 'output', stream, chunk }),
    progress: (progress) => send({ type: 'progress', ...progress }),
    event: (event, data) => send({ type: 'event', event, data }),
    checkpoint: {
      async load() {
        const answer = await call('checkpoint.load', {});
        return 'state' in answer ? answer.state : undefined;
      },
      async save(state) {
        await call('checkpoint.save', { state });
      },
    },
    artifacts: {
      async put({ name, mediaType, content }) {
        const file = randomUUID();
        await writeFile(join(exchange, file), content);
        try {
          return await call('artifacts.put', { name, mediaType, file });
        } finally {
          await rm(join(exchange, file), { force: true });
        }
      },
      async get(id) {
        const { artifact, file } = await call('artifacts.get', { id });
        const content = new Uint8Array(await readFile(join(exchange, file)));
        await rm(join(exchange, file), { force: true });
        return { artifact, content };
      },
    },
    suspend: (question) => call('suspend', question),
    startRun: (run) => call('startRun', run),
    llm: { ask: (request) => call('llm.ask', request) },
    cost: {
      async add(entry) {
        await call('cost.add', entry);
      },
      reserve: (entry) => call('cost.reserve', entry),
      async settle(id, actual) {
        await call('cost.settle', actual === undefined ? { id } : { id, actual });
      },
      soFar: () => call('cost.soFar', {}),
      async expect(usd) {
        await call('cost.expect', { usd });
      },
    },
    conversation: {
      load: (thread) => call('conversation.load', thread === undefined ? {} : { thread }),
      async append(messages, thread) {
        await call('conversation.append', thread === undefined ? { messages } : { messages, thread });
      },
    },
    secrets: { get: (name) => call('secrets.get', { name }) },
    async sql(name, options) {
      const connection = { name, readOnly: options?.readOnly ?? false };
      await call('sql.open', connection);
      return { query: (text, params = []) => call('sql.query', { ...connection, text, params }) };
    },
  };
}

function createLog(send: (message: StepMessage) => void): Log {
  const at = (level: 'debug' | 'info' | 'warn' | 'error') => (message: string, fields?: Record<string, unknown>) =>
    send(
      fields === undefined
        ? { type: 'log', level, message }
        : { type: 'log', level, message, fields: plainFields(fields) },
    );
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}
