// Answers what a step in a process of its own asks for, out of its attempt's context.
import { randomUUID } from 'node:crypto';
import { lstat, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type CostEntry,
  type Json,
  type LlmMessage,
  type LlmRequest,
  type RunToStart,
  type StepContext,
  StepError,
  type Suspension,
} from '../api.ts';

type Params = Readonly<Record<string, unknown>>;

/** Rejects as the context's own method would; an unknown method or wrong parameters are a fatal ProtocolError. */
export async function answerCall(
  ctx: StepContext,
  method: string,
  params: unknown,
  exchange: string,
): Promise<unknown> {
  const given = (typeof params === 'object' && params !== null ? params : {}) as Params;
  switch (method) {
    case 'checkpoint.load': {
      const state = await ctx.checkpoint.load();
      return state === undefined ? {} : { state };
    }
    case 'checkpoint.save':
      await ctx.checkpoint.save((given.state ?? null) as Json);
      return null;
    case 'artifacts.put': {
      const content = await readExchanged(exchange, text(given, 'file'));
      return ctx.artifacts.put({ name: text(given, 'name'), mediaType: text(given, 'mediaType'), content });
    }
    case 'artifacts.get': {
      const { artifact, content } = await ctx.artifacts.get(text(given, 'id'));
      const file = randomUUID();
      await writeFile(join(exchange, file), content, { flag: 'wx' });
      return { artifact, file };
    }
    case 'outbox.put':
      return ctx.outbox.put();
    case 'suspend':
      return ctx.suspend(given as unknown as Suspension);
    case 'startRun':
      return ctx.startRun(given as unknown as RunToStart);
    case 'llm.ask':
      return ctx.llm.ask(given as unknown as LlmRequest);
    case 'cost.add':
      await ctx.cost.add(given as unknown as CostEntry);
      return null;
    case 'cost.reserve':
      return ctx.cost.reserve(given as unknown as CostEntry);
    case 'cost.settle':
      await ctx.cost.settle(text(given, 'id'), given.actual as CostEntry | undefined);
      return null;
    case 'cost.soFar':
      return ctx.cost.soFar();
    case 'cost.expect':
      await ctx.cost.expect(given.usd as number);
      return null;
    case 'conversation.load':
      return ctx.conversation.load(given.thread as string | undefined);
    case 'conversation.append':
      await ctx.conversation.append((given.messages ?? []) as LlmMessage[], given.thread as string | undefined);
      return null;
    case 'secrets.get':
      return ctx.secrets.get(text(given, 'name'));
    case 'sql.open':
      await ctx.sql(text(given, 'name'), { readOnly: given.readOnly === true });
      return null;
    case 'sql.query': {
      const connection = await ctx.sql(text(given, 'name'), { readOnly: given.readOnly === true });
      return connection.query(text(given, 'text'), Array.isArray(given.params) ? (given.params as Json[]) : []);
    }
    default:
      throw protocolError(`there is no method ${JSON.stringify(method)}`);
  }
}

/** Only a plain file right in the folder: the name comes from the step. */
async function readExchanged(exchange: string, file: string): Promise<Uint8Array> {
  if (!/^[A-Za-z0-9-]{1,64}$/.test(file)) throw protocolError(`file is ${JSON.stringify(file)}, expected a plain name`);
  const path = join(exchange, file);
  if (!(await lstat(path)).isFile()) throw protocolError(`${file} is not a plain file`);
  return readFile(path);
}

function text(given: Params, key: string): string {
  const value = given[key];
  if (typeof value === 'string') return value;
  throw protocolError(`${key} is of type ${typeof value}, expected string`);
}

function protocolError(message: string): StepError {
  return new StepError('fatal', `step protocol: ${message}`, { name: 'ProtocolError' });
}
