// A local OpenAI-compatible server that can be told how to fail, and counts exactly what it has charged.
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { countTokens, decode, encode } from 'gpt-tokenizer/encoding/o200k_base';
import { leastValue } from '../../plugins/llm/least-value.ts';
import { seededRandom } from './seeded-random.ts';

/** What becomes of one request instead of an answer, or how the answer differs. */
export type LlmFault =
  /** 429; `retryAfterMs` is told in both headers that providers use. Default 1,000. */
  | { kind: 'rate_limited'; retryAfterMs?: number }
  /** An error of the provider: 401, 403, 400, 503 … */
  | { kind: 'status'; status: number; message?: string; headers?: Record<string, string> }
  /** No byte comes until `release()` or the end of the stub. */
  | { kind: 'hang' }
  /** The stream stands still after so many tokens until `release()`, then goes on. */
  | { kind: 'stall'; afterTokens: number }
  /** The stream ends after so many tokens (default: half), the connection by force (default) or in good order. */
  | { kind: 'cut'; afterTokens?: number; how?: 'destroy' | 'end' }
  /** The answer comes without usage. */
  | { kind: 'no_usage' }
  /** The answer ends for another reason than being complete, `length` at half of its tokens. */
  | { kind: 'finish'; reason: 'length' | 'content_filter' }
  /** This text instead of the answer. */
  | { kind: 'text'; text: string }
  /** The bytes of the body, whatever they are. */
  | { kind: 'raw'; body: string; contentType?: string }
  | { kind: 'redirect'; to: string };

export interface LlmStubRequest {
  /** What came, parsed. */
  body: {
    model: string;
    messages: { role: string; content: string }[];
    stream?: boolean;
    stream_options?: { include_usage?: boolean };
    response_format?: { type: string; json_schema?: { name: string; schema: unknown } };
    temperature?: number;
    seed?: number;
    max_tokens?: number;
    max_completion_tokens?: number;
    [key: string]: unknown;
  };
  /** The text of the first system message; empty where there is none. */
  system: string;
  /** The text of the last message. */
  prompt: string;
  /** The bearer token; empty where there is none. */
  key: string;
  headers: IncomingMessage['headers'];
}

export interface LlmStubCounts {
  /** Requests for answers, whatever became of them. */
  requests: number;
  answered: number;
  rateLimited: number;
  /** Other statuses from 400. */
  errors: number;
  cut: number;
  /** Charged, see `startLlmStub`. */
  promptTokens: number;
  completionTokens: number;
  /** Of the prompts': those that were charged as cached. */
  cachedTokens: number;
}

export interface LlmStubOptions {
  /** TCP port of 127.0.0.1; default: a free one. */
  port?: number;
  /** Keys that are accepted; others get 401. Default: any, and none. */
  keys?: readonly string[];
  /** Shares of requests, 0…1, drawn in their order from the seed. */
  faults?: { seed?: number; rateLimited?: number; unavailable?: number; cut?: number; retryAfterMs?: number };
  /** The answer's text; undefined: the usual one. */
  answer?: (request: LlmStubRequest) => string | undefined;
  /** Prompt tokens of a system text that an answered request had before are charged as cached, from this many on. Default 1,024. */
  cacheFrom?: number;
  /** False: no answer tells its usage. Default true. */
  tellsUsage?: boolean;
  /** Tokens of one piece of a stream. Default 4. */
  pieceTokens?: number;
}

export interface LlmStub {
  /** With `/v1`: what a provider's `base_url` is set to. */
  url: string;
  /** What has been charged so far; the same object, kept up to date. */
  counts: LlmStubCounts;
  requests: LlmStubRequest[];
  /** What becomes of the next requests, one each, before shares and usual answers. */
  next(...faults: LlmFault[]): void;
  /** Lets everything go on that hangs or stands still now. */
  release(): void;
  stop(): Promise<void>;
}

/**
 * How it charges: an answer in full (3 tokens a message, its role and text by o200k_base, 3 more for the request). An error
 * costs nothing. A stream that is cut, or whose client goes away, costs its prompt, uncached, and the tokens of the text that was
 * sent; without streaming a cut answer costs nothing.
 */
export async function startLlmStub(options: LlmStubOptions = {}): Promise<LlmStub> {
  const counts: LlmStubCounts = {
    requests: 0,
    answered: 0,
    rateLimited: 0,
    errors: 0,
    cut: 0,
    promptTokens: 0,
    completionTokens: 0,
    cachedTokens: 0,
  };
  const requests: LlmStubRequest[] = [];
  const queued: LlmFault[] = [];
  const held = new Set<() => void>();
  const hold = () => new Promise<void>((resolve) => held.add(resolve));
  const knownSystems = new Set<string>();
  const random = seededRandom(options.faults?.seed ?? 1);

  const server = createServer((request, response) => {
    handle(request, response).catch(() => response.destroy());
  });

  async function handle(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const text = await readText(incoming);
    const key = /^Bearer (.*)$/.exec(incoming.headers.authorization ?? '')?.[1] ?? '';
    if (options.keys && !options.keys.includes(key)) {
      counts.errors += 1;
      return fail(response, 401, `Incorrect API key provided: ${key}.`, 'invalid_api_key');
    }
    if (incoming.method === 'GET' && incoming.url === '/v1/models') {
      return json(response, 200, { object: 'list', data: [{ id: 'stub-1', object: 'model', owned_by: 'stub' }] });
    }
    if (incoming.method !== 'POST' || incoming.url !== '/v1/chat/completions') {
      counts.errors += 1;
      return fail(response, 404, `there is no ${incoming.method} ${incoming.url}`);
    }
    counts.requests += 1;
    const request = readRequest(text, key, incoming);
    if (request === undefined) {
      counts.errors += 1;
      return fail(response, 400, 'the body is not a chat completion request');
    }
    requests.push(request);
    const fault = queued.shift() ?? drawn();
    if (fault?.kind === 'hang') await hold();
    if (fault && refuse(response, fault)) return;
    const answer = answerTo(request, fault);
    if (request.body.stream) await stream(response, request, answer, fault);
    else await whole(response, request, answer, fault);
  }

  function drawn(): LlmFault | undefined {
    const { rateLimited = 0, unavailable = 0, cut = 0, retryAfterMs } = options.faults ?? {};
    if (rateLimited + unavailable + cut === 0) return undefined;
    const at = random();
    if (at < rateLimited) return { kind: 'rate_limited', ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
    if (at < rateLimited + unavailable) return { kind: 'status', status: 503, message: 'The server is overloaded.' };
    return at < rateLimited + unavailable + cut ? { kind: 'cut' } : undefined;
  }

  function refuse(response: ServerResponse, fault: LlmFault): boolean {
    if (fault.kind === 'rate_limited') {
      const waitMs = fault.retryAfterMs ?? 1_000;
      response.setHeader('retry-after', String(Math.ceil(waitMs / 1_000)));
      response.setHeader('retry-after-ms', String(waitMs));
      counts.rateLimited += 1;
      fail(response, 429, 'Rate limit reached for requests.', 'rate_limit_exceeded');
    } else if (fault.kind === 'status') {
      for (const [name, value] of Object.entries(fault.headers ?? {})) response.setHeader(name, value);
      counts.errors += 1;
      fail(response, fault.status, fault.message ?? `status ${fault.status}`);
    } else if (fault.kind === 'redirect') {
      response.writeHead(307, { location: fault.to }).end();
    } else if (fault.kind === 'raw') {
      response.writeHead(200, { 'content-type': fault.contentType ?? 'text/event-stream' }).end(fault.body);
    } else return false;
    return true;
  }

  function answerTo(request: LlmStubRequest, fault: LlmFault | undefined): Answer {
    const text = fault?.kind === 'text' ? fault.text : (options.answer?.(request) ?? usualAnswer(request));
    const tokens = encode(text, plainText);
    const most = request.body.max_completion_tokens ?? request.body.max_tokens ?? Number.POSITIVE_INFINITY;
    const half = Math.ceil(tokens.length / 2);
    if (fault?.kind === 'finish' && fault.reason === 'content_filter') return { text: '', reason: 'content_filter' };
    if (fault?.kind === 'finish') return { text: decode(tokens.slice(0, half)), reason: 'length' };
    if (tokens.length > most) return { text: decode(tokens.slice(0, most)), reason: 'length' };
    return { text, reason: 'stop' };
  }

  function charge(request: LlmStubRequest, text: string, isComplete: boolean): Usage {
    const promptTokens = promptTokensOf(request);
    const systemTokens = countTokens(request.system, plainText);
    const isCached = isComplete && systemTokens >= (options.cacheFrom ?? 1_024) && knownSystems.has(request.system);
    if (isComplete) knownSystems.add(request.system);
    const usage = {
      prompt_tokens: promptTokens,
      completion_tokens: countTokens(text, plainText),
      cached_tokens: isCached ? systemTokens : 0,
    };
    counts.promptTokens += usage.prompt_tokens;
    counts.completionTokens += usage.completion_tokens;
    counts.cachedTokens += usage.cached_tokens;
    return usage;
  }

  const tellsUsage = (fault: LlmFault | undefined) => options.tellsUsage !== false && fault?.kind !== 'no_usage';

  async function whole(
    response: ServerResponse,
    request: LlmStubRequest,
    answer: Answer,
    fault: LlmFault | undefined,
  ): Promise<void> {
    if (fault?.kind === 'cut') {
      counts.cut += 1;
      response.destroy();
      return;
    }
    const usage = charge(request, answer.text, true);
    counts.answered += 1;
    json(response, 200, {
      ...head(request, 'chat.completion'),
      choices: [{ index: 0, message: { role: 'assistant', content: answer.text }, finish_reason: answer.reason }],
      ...(tellsUsage(fault) ? { usage: shownUsage(usage) } : {}),
    });
  }

  async function stream(
    response: ServerResponse,
    request: LlmStubRequest,
    answer: Answer,
    fault: LlmFault | undefined,
  ): Promise<void> {
    const pieces = piecesOf(answer.text, options.pieceTokens ?? 4);
    const total = countTokens(answer.text, plainText);
    const stopAfter = fault?.kind === 'cut' ? (fault.afterTokens ?? Math.floor(total / 2)) : Number.POSITIVE_INFINITY;
    let sent = '';
    let isCharged = false;
    const chargeOnce = (isComplete: boolean) => {
      if (isCharged) return undefined;
      isCharged = true;
      return charge(request, sent, isComplete);
    };
    // The client went away: what it was sent is charged.
    response.once('close', () => {
      if (chargeOnce(false) !== undefined) counts.cut += 1;
    });
    const base = head(request, 'chat.completion.chunk');
    const event = (data: unknown) =>
      new Promise<void>((resolve) => {
        if (response.destroyed) resolve();
        else response.write(`data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`, () => resolve());
      });
    const delta = (content: object, reason: string | null = null) =>
      event({ ...base, choices: [{ index: 0, delta: content, finish_reason: reason }] });

    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
    await delta({ role: 'assistant', content: '' });
    for (const piece of pieces) {
      const soFar = countTokens(sent, plainText);
      if (soFar >= stopAfter) break;
      if (fault?.kind === 'stall' && soFar >= fault.afterTokens) {
        fault = undefined;
        await hold();
      }
      if (response.destroyed) return;
      sent += piece;
      await delta({ content: piece });
    }
    if (fault?.kind === 'cut') {
      chargeOnce(false);
      counts.cut += 1;
      // Everything was handed to the system: the client gets it, then the end.
      if (fault.how === 'end') response.end();
      else response.destroy();
      return;
    }
    const usage = chargeOnce(true);
    if (usage === undefined) return;
    counts.answered += 1;
    await delta({}, answer.reason);
    if (tellsUsage(fault) && request.body.stream_options?.include_usage) {
      await event({ ...base, choices: [], usage: shownUsage(usage) });
    }
    await event('[DONE]');
    response.end();
  }

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, '127.0.0.1', resolve);
  });
  const release = () => {
    for (const resolve of held) resolve();
    held.clear();
  };
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    counts,
    requests,
    next: (...faults) => void queued.push(...faults),
    release,
    async stop() {
      release();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

interface Answer {
  text: string;
  reason: 'stop' | 'length' | 'content_filter';
}

interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  cached_tokens: number;
}

/** A text may hold what looks like a special token. */
const plainText = { disallowedSpecial: new Set<string>() };

/** For a schema the least value that fits; else a text that tells what was asked, the same for the same request. */
function usualAnswer({ body, prompt }: LlmStubRequest): string {
  const schema = body.response_format?.json_schema?.schema;
  if (schema !== undefined) return JSON.stringify(leastValue(schema) ?? null);
  if (body.response_format?.type === 'json_object') return '{}';
  const hash = createHash('sha256').update(JSON.stringify(body.messages)).digest('hex').slice(0, 8);
  return `This is the answer ${hash} of the stub to a question that begins with: ${prompt.slice(0, 120)}`;
}

function promptTokensOf({ body }: LlmStubRequest): number {
  const ofMessages = body.messages.map(
    ({ role, content }) => 3 + countTokens(role, plainText) + countTokens(content, plainText),
  );
  return ofMessages.reduce((sum, tokens) => sum + tokens, 3);
}

/** Joined they are the text; a character of several tokens is not divided. */
function piecesOf(text: string, tokensEach: number): string[] {
  const tokens = encode(text, plainText);
  const pieces: string[] = [];
  let from = 0;
  for (let to = tokensEach; from < tokens.length; to += tokensEach) {
    const piece = decode(tokens.slice(from, to));
    if (piece.includes('\ufffd') && to < tokens.length) continue;
    pieces.push(piece);
    from = to;
  }
  return pieces.join('') === text ? pieces : [text];
}

function head({ body }: LlmStubRequest, object: string): object {
  return { id: 'chatcmpl-stub', object, created: 0, model: body.model, system_fingerprint: 'stub' };
}

function shownUsage({ cached_tokens, ...usage }: Usage): object {
  const total_tokens = usage.prompt_tokens + usage.completion_tokens;
  return { ...usage, total_tokens, prompt_tokens_details: { cached_tokens } };
}

function readRequest(text: string, key: string, { headers }: IncomingMessage): LlmStubRequest | undefined {
  try {
    const body = JSON.parse(text) as LlmStubRequest['body'];
    if (typeof body.model !== 'string' || !Array.isArray(body.messages) || body.messages.length === 0) return undefined;
    const system = body.messages.find(({ role }) => role === 'system')?.content ?? '';
    return { body, system, prompt: body.messages.at(-1)?.content ?? '', key, headers };
  } catch {
    return undefined;
  }
}

async function readText(incoming: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

function fail(response: ServerResponse, status: number, message: string, code: string | null = null): void {
  json(response, status, { error: { message, type: status >= 500 ? 'server_error' : 'requests', param: null, code } });
}
