// A request with its redirects: every hop is checked anew, and credentials stay with the origin they were given for.
import { StepError } from 'cronwright/plugin';
import { exchange, type Hop, type HopOptions } from './pinned-hop.ts';
import { type ReceivedBody, readBody } from './read-body.ts';

export interface Response {
  status: number;
  /** Lower-case names; several values are joined by `, `. `set-cookie` is left out: it is a credential. */
  headers: Record<string, string>;
  body: ReceivedBody;
  /** Where the answer came from, without user and password. */
  url: string;
}

/** What may go to another origin; all else that a pipeline sets may be a credential. */
const harmlessHeaders: ReadonlySet<string> = new Set(['accept', 'accept-language', 'content-type', 'user-agent']);

export async function send(
  first: Hop,
  options: HopOptions & { maxRedirects: number; maxBytes: number },
): Promise<Response> {
  let hop = withCredentialsInHeader(first);
  for (let redirects = 0; ; redirects++) {
    const answer = await exchange(hop, options, async (response) => {
      const headers = plainHeaders(response.headers);
      const next = options.maxRedirects === 0 ? undefined : redirectOf(hop, response.statusCode, headers.location);
      if (next) return { next };
      const { statusCode: status } = response;
      const isEmpty = hop.method === 'HEAD' || status === 204 || status === 304 || headers['content-length'] === '0';
      const body = await readBody(response.body, headers, { maxBytes: options.maxBytes, isEmpty });
      return { response: { status, headers, body, url: shownUrl(hop.url) } };
    });
    if (answer.response) return answer.response;
    if (redirects >= options.maxRedirects) {
      throw new StepError('fatal', `more than ${options.maxRedirects} redirects from ${shownUrl(first.url)}`, {
        name: 'TooManyRedirects',
      });
    }
    hop = answer.next;
  }
}

/** The URL for people: no user, password or fragment. */
export function shownUrl(url: URL): string {
  const shown = new URL(url);
  shown.username = '';
  shown.password = '';
  shown.hash = '';
  return shown.href;
}

function redirectOf(hop: Hop, status: number, location: string | undefined): Hop | undefined {
  if (![301, 302, 303, 307, 308].includes(status) || location === undefined) return undefined;
  if (!URL.canParse(location, hop.url.href)) {
    throw new StepError('fatal', `${shownUrl(hop.url)} redirects to something that is no URL`, { name: 'BadRedirect' });
  }
  const url = new URL(location, hop.url);
  // Fetch standard, HTTP-redirect fetch, step 12: 303, and POST at 301 and 302, become a GET without a body.
  const becomesGet =
    (status === 303 && hop.method !== 'GET' && hop.method !== 'HEAD') ||
    ((status === 301 || status === 302) && hop.method === 'POST');
  const kept = Object.entries(hop.headers).filter(([name]) => {
    if (becomesGet && name === 'content-type') return false;
    return url.origin === hop.url.origin || harmlessHeaders.has(name);
  });
  return withCredentialsInHeader({
    url,
    method: becomesGet ? 'GET' : hop.method,
    headers: Object.fromEntries(kept),
    body: becomesGet ? undefined : hop.body,
  });
}

/** A user and password in the URL become a header, so that they show nowhere. */
function withCredentialsInHeader(hop: Hop): Hop {
  const { username, password } = hop.url;
  if (username === '' && password === '') return hop;
  const url = new URL(hop.url);
  url.username = '';
  url.password = '';
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return { ...hop, url, headers: { authorization: `Basic ${Buffer.from(pair).toString('base64')}`, ...hop.headers } };
}

function plainHeaders(headers: Record<string, string | string[] | undefined>): Record<string, string> {
  const plain: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || name === 'set-cookie') continue;
    plain[name] = Array.isArray(value) ? value.join(', ') : value;
  }
  return plain;
}
