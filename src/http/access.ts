// Who may ask: a token where there is one, else only this machine and no foreign web page.
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { CronwrightError } from '../domain/errors.ts';

export interface Access {
  /** Throws `unauthorized` or `forbidden`. */
  check(request: { method: string; path: string; headers: IncomingHttpHeaders }): void;
  isToken(text: string): boolean;
  /** The `Set-Cookie` of a browser that gave the token; undefined where there is no token. */
  readonly cookie: string | undefined;
}

/** For probes and scrapers, which have no token and ask under any name; nothing there is secret. */
const openPaths: readonly string[] = ['/healthz', '/readyz', '/metrics'];
const cookieName = 'cronwright_session';

export function createAccess(token: string | undefined): Access {
  const expected = token === undefined ? undefined : digest(token);
  // The cookie is derived from the token, so that changing the token ends all sessions; it does not tell the token.
  const session = token === undefined ? undefined : createHmac('sha256', token).update('session').digest('base64url');
  const isToken = (text: string) => expected !== undefined && timingSafeEqual(digest(text), expected);

  function requireToken(method: string, headers: IncomingHttpHeaders): void {
    const bearer = /^Bearer +(\S+)$/i.exec(headers.authorization ?? '')?.[1];
    if (bearer !== undefined && isToken(bearer)) return;
    // A cookie only lets a person look; what changes something has to bring the token itself.
    if (isRead(method) && session !== undefined && hasSession(headers.cookie, session)) return;
    const why = headers.authorization === undefined ? 'a bearer token is missing' : 'the bearer token is wrong';
    throw new CronwrightError('unauthorized', `${why}: send "Authorization: Bearer <CRONWRIGHT_TOKEN>"`);
  }

  return {
    check({ method, path, headers }) {
      if (openPaths.includes(path)) return;
      if (path.startsWith('/assets/')) return;
      if (token === undefined) requireLoopbackName(headers.host);
      requireOwnOrigin(headers);
      if (token !== undefined && path !== '/login') requireToken(method, headers);
    },
    isToken,
    cookie: session === undefined ? undefined : `${cookieName}=${session}; Path=/; HttpOnly; SameSite=Strict`,
  };
}

/** Throws where the daemon would be open to everyone who reaches it. */
export function requireSafeAddress(host: string, token: string | undefined): void {
  if (token !== undefined || isLoopbackName(host)) return;
  throw new CronwrightError(
    'invalid_config',
    `refusing to listen on ${host} without a token: anyone who reaches it could start runs. Set CRONWRIGHT_TOKEN, or listen on 127.0.0.1`,
  );
}

export function isLoopbackName(name: string): boolean {
  const bare = name.replace(/^\[(.*)\]$/, '$1').toLowerCase();
  return bare === 'localhost' || bare === '::1' || /^127(?:\.(?:25[0-5]|2[0-4]\d|1?\d?\d)){3}$/.test(bare);
}

/** A web page can make a browser send requests here under its own name (DNS rebinding), but not under a loopback name. */
function requireLoopbackName(host: string | undefined): void {
  const name = host === undefined ? '' : host.replace(/:\d*$/, '');
  if (isLoopbackName(name)) return;
  throw new CronwrightError(
    'forbidden',
    `the host "${host ?? ''}" is not a loopback name: without CRONWRIGHT_TOKEN only localhost, 127.0.0.0/8 and [::1] are answered`,
  );
}

/** What a browser sends for a page of another site names that site. */
function requireOwnOrigin({ origin, host }: IncomingHttpHeaders): void {
  if (origin === undefined) return;
  const from = URL.canParse(origin) ? new URL(origin).host : '';
  if (from !== '' && from === host?.toLowerCase()) return;
  throw new CronwrightError('forbidden', `the origin "${origin}" is foreign: only pages of this daemon may ask it`);
}

function isRead(method: string): boolean {
  return method === 'GET' || method === 'HEAD';
}

function hasSession(cookies: string | undefined, session: string): boolean {
  const values = (cookies ?? '').split(';').map((cookie) => cookie.trim().split('='));
  return values.some(([name, value]) => name === cookieName && timingSafeEqual(digest(value ?? ''), digest(session)));
}

/** Digests are equally long whatever was sent, so that comparing takes equally long too. */
function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
