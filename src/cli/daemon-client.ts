// Speaks to a daemon over its HTTP API; its refusals and its silence become errors people can act on.
import { CronwrightError, type ErrorCode, errorMessage, type Problem } from '../domain/errors.ts';

export interface DaemonClientOptions {
  /** Base URL, e.g. `http://127.0.0.1:8080`. */
  url: string;
  token?: string | undefined;
  tenant?: string | undefined;
  /** Who asks; kept in the history of what is done. */
  actor?: string | undefined;
  /** For one request, in milliseconds; default 30,000. */
  timeoutMs?: number | undefined;
}

export type Query = Readonly<Record<string, string | number | undefined>>;

export interface DaemonClient {
  readonly url: string;
  /** `path` is below `/api/v1`. Throws CronwrightError for everything that is not a success. */
  get<Answer>(path: string, query?: Query): Promise<Answer>;
  post<Answer>(path: string, body?: unknown): Promise<Answer>;
}

export function createDaemonClient(options: DaemonClientOptions): DaemonClient {
  const base = readBaseUrl(options.url);
  async function call<Answer>(method: 'GET' | 'POST', path: string, query: Query, body?: unknown): Promise<Answer> {
    const target = new URL(`${base}/api/v1${path}`);
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) target.searchParams.set(name, String(value));
    }
    const response = await send(base, target, {
      method,
      headers: headersOf(options, method),
      body: method === 'POST' ? JSON.stringify(body ?? {}) : null,
      redirect: 'manual',
      signal: AbortSignal.timeout(options.timeoutMs ?? 30_000),
    });
    const text = await response.text();
    if (!response.ok) throw refusal(base, response.status, text);
    return parseAnswer(base, text) as Answer;
  }
  return {
    url: base,
    get: (path, query = {}) => call('GET', path, query),
    post: (path, body) => call('POST', path, {}, body),
  };
}

/** One segment of a path. */
export function segment(id: string): string {
  return encodeURIComponent(id);
}

function readBaseUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    // Not the text itself: it may hold a password.
    throw new CronwrightError('invalid_input', '--url: expected an address such as http://127.0.0.1:8080', {
      problems: [{ path: '--url', message: 'not an http or https address' }],
    });
  }
  if (url.username !== '' || url.password !== '') {
    throw new CronwrightError(
      'invalid_input',
      '--url holds a user or password: give --token or CRONWRIGHT_TOKEN instead',
    );
  }
  return `${url.origin}${url.pathname.replace(/\/+$/, '')}`;
}

function headersOf(options: DaemonClientOptions, method: string): Record<string, string> {
  return {
    accept: 'application/json',
    ...(method === 'POST' ? { 'content-type': 'application/json' } : {}),
    'cronwright-origin': 'cli',
    ...(options.actor === undefined ? {} : { 'cronwright-actor': options.actor }),
    ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }),
    ...(options.tenant === undefined ? {} : { 'cronwright-tenant': options.tenant }),
  };
}

async function send(base: string, target: URL, request: RequestInit): Promise<Response> {
  try {
    return await fetch(target, request);
  } catch (error) {
    throw unreachable(base, error);
  }
}

function unreachable(base: string, error: unknown): CronwrightError {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  const code = networkCode(cause);
  if (code === 'ECONNREFUSED') {
    const advice = 'start one with `cronwright start`, or say --url';
    return new CronwrightError('unavailable', `no daemon answers at ${base} (${advice})`, { details: { url: base } });
  }
  const why =
    error instanceof Error && error.name === 'TimeoutError' ? 'no answer in time' : (code ?? errorMessage(cause));
  return new CronwrightError('unavailable', `cannot reach ${base}: ${why}`, { details: { url: base } });
}

/** The code of a network error; where several addresses were tried, the first one's. */
function networkCode(cause: unknown): string | undefined {
  if (cause instanceof AggregateError) return cause.errors.map(networkCode).find((code) => code !== undefined);
  if (cause instanceof Error && 'code' in cause && typeof cause.code === 'string') return cause.code;
  return undefined;
}

function parseAnswer(base: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new CronwrightError('unavailable', `${base} answers, but not as a Cronwright daemon does`, {
      details: { url: base },
    });
  }
}

interface ProblemDocument {
  title?: unknown;
  detail?: unknown;
  code?: unknown;
  problems?: unknown;
  [field: string]: unknown;
}

/** An answer that is no success, as an error: RFC 9457 problem details where the peer sends them. */
function refusal(base: string, status: number, text: string): CronwrightError {
  const problem = readProblem(text);
  const title = typeof problem.title === 'string' ? problem.title : `HTTP ${status}`;
  const detail = typeof problem.detail === 'string' ? problem.detail : undefined;
  const { title: _title, detail: _detail, code: _code, problems, type: _type, instance: _instance, ...facts } = problem;
  const hint = status === 401 ? 'give the token of the daemon with --token or CRONWRIGHT_TOKEN' : undefined;
  const message =
    detail === undefined ? `${title} (from ${base})` : startsAlike(detail, title) ? detail : `${title}: ${detail}`;
  // Not the daemon's word for the code where the fault is its own: exit code 2 is for what was written here.
  return new CronwrightError(codeOfStatus(status), message, {
    problems: Array.isArray(problems) ? (problems as Problem[]) : [],
    details: { ...facts, status, ...(hint === undefined ? {} : { hint }) },
  });
}

function startsAlike(detail: string, title: string): boolean {
  return detail.toLowerCase().startsWith(title.toLowerCase());
}

function readProblem(text: string): ProblemDocument {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as ProblemDocument) : {};
  } catch {
    return {};
  }
}

function codeOfStatus(status: number): ErrorCode {
  const codes: Readonly<Record<number, ErrorCode>> = {
    400: 'invalid_input',
    401: 'unauthorized',
    403: 'forbidden',
    404: 'not_found',
    409: 'conflict',
    413: 'too_large',
    415: 'unsupported_media_type',
    429: 'limit_reached',
    503: 'unavailable',
  };
  return codes[status] ?? 'internal';
}
