// Looks at the address a daemon would listen on: free, taken by a daemon, or taken by somebody else.
import { createServer } from 'node:net';
import { isLoopbackName } from '../../http/access.ts';
import type { Finding } from './finding.ts';

export async function checkPort(host: string, port: number): Promise<Finding> {
  const address = `${host}:${port}`;
  if (port === 0) return { check: 'port', status: 'ok', detail: 'any free one' };
  const code = await tryToListen(host, port);
  if (code === undefined) return { check: 'port', status: 'ok', detail: `${address} is free` };
  if (code === 'EADDRINUSE' && (await daemonAnswers(host, port))) {
    return { check: 'port', status: 'ok', detail: `${address}: a daemon answers there` };
  }
  const detail = code === 'EADDRINUSE' ? `${address} is taken by another program` : `${address}: ${code}`;
  return { check: 'port', status: 'fail', detail, hint: 'say another one by --port or CRONWRIGHT_PORT' };
}

function tryToListen(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}

async function daemonAnswers(host: string, port: number): Promise<boolean> {
  const everywhere: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '[::1]' };
  const name = everywhere[host] ?? (host.includes(':') ? `[${host}]` : host);
  try {
    const response = await fetch(`http://${name}:${port}/healthz`, { signal: AbortSignal.timeout(2_000) });
    return response.ok;
  } catch {
    return false;
  }
}

/** Without a token nobody but this machine may reach a daemon, so it refuses to listen elsewhere. */
export function checkAccess(host: string, token: string | undefined): Finding {
  if (token !== undefined) return { check: 'access', status: 'ok', detail: 'a token is set' };
  if (isLoopbackName(host)) return { check: 'access', status: 'ok', detail: 'this machine only; no token is set' };
  const hint = 'set CRONWRIGHT_TOKEN, or listen on 127.0.0.1';
  return { check: 'access', status: 'fail', detail: `${host} without a token: a daemon refuses to start`, hint };
}
