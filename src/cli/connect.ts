// The daemon that a command talks to: option beats environment beats default.
import type { CliContext } from './cli-context.ts';
import { createDaemonClient, type DaemonClient } from './daemon-client.ts';

export interface DaemonOptions {
  url?: string;
  token?: string;
  tenant?: string;
  json?: boolean;
}

/** `actor`: instead of the user of the shell. */
export function connect(context: CliContext, options: DaemonOptions, actor?: string): DaemonClient {
  return createDaemonClient({
    url: options.url ?? (context.env.CRONWRIGHT_URL || 'http://127.0.0.1:8080'),
    token: options.token ?? (context.env.CRONWRIGHT_TOKEN || undefined),
    tenant: options.tenant,
    actor: actor ?? actorOf(context),
  });
}

/** The user of the shell, where the name fits into a header. */
export function actorOf(context: CliContext): string {
  const user = context.env.USER || context.env.LOGNAME || context.env.USERNAME || '';
  return /^[\x20-\x7e]{1,200}$/.test(user) ? user : 'cli';
}
