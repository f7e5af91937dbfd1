// Hints between nodes by PostgreSQL's NOTIFY: one connection that listens and comes back by itself, sending by the pool.
import pg from 'pg';
import { createLoopService, type Service, sleepUnlessAborted } from '../base/service.ts';
import { errorMessage } from '../domain/errors.ts';
import { type HintLine, type HintListener, type Queryable, statement } from './database.ts';

export interface PostgresHintsOptions {
  url: string;
  /** Shown in pg_stat_activity. */
  applicationName: string;
  connectTimeoutMs: number;
  /** Sends a statement by itself, on a connection of the pool. */
  send: Queryable['query'];
}

const channel = 'cronwright';
/** A connection whose other end has gone without a word is found out by this. */
const pingEveryMs = 30_000;
const pingTimeoutMs = 10_000;
const firstDelayMs = 100;
const longestDelayMs = 5_000;

const notify = statement('send_hint', 'select pg_notify($1, $2)', { timeoutMs: 5_000 });

export function createPostgresHints(options: PostgresHintsOptions): HintLine & { close(): Promise<void> } {
  const listening = new Set<Service>();
  return {
    async send(payload) {
      await options.send(notify, [channel, payload]);
    },
    listen(listener) {
      const service = createListening(options, listener);
      listening.add(service);
      void service.start();
      return {
        async close() {
          listening.delete(service);
          await service.stop();
        },
      };
    },
    async close() {
      await Promise.all([...listening].map((service) => service.stop()));
    },
  };
}

function createListening(options: PostgresHintsOptions, listener: HintListener): Service {
  return createLoopService({
    name: 'hints',
    async loop(signal) {
      let delayMs = firstDelayMs;
      while (!signal.aborted) {
        const { reason, wasUp } = await listenOnce(options, listener, signal);
        if (signal.aborted) return;
        listener.onDown(reason);
        delayMs = wasUp ? firstDelayMs : Math.min(delayMs * 2, longestDelayMs);
        // Nodes that lost the same server do not come back in step.
        await sleepUnlessAborted(delayMs * (0.5 + Math.random() / 2), signal);
      }
    },
    onCrash: (error) => listener.onDown(errorMessage(error)),
  });
}

/** Returns when the connection is gone, or the signal has aborted. */
async function listenOnce(
  options: PostgresHintsOptions,
  listener: HintListener,
  signal: AbortSignal,
): Promise<{ reason: string; wasUp: boolean }> {
  const client = new pg.Client({
    connectionString: options.url,
    application_name: options.applicationName,
    connectionTimeoutMillis: options.connectTimeoutMs,
    query_timeout: pingTimeoutMs,
    keepAlive: true,
  });
  const lost = new AbortController();
  let reason = 'the connection ended';
  let wasUp = false;
  client.on('error', (error) => {
    reason = error.message;
    lost.abort();
  });
  client.on('end', () => lost.abort());
  client.on('notification', ({ payload }) => listener.onHint(payload ?? ''));
  try {
    await client.connect();
    await client.query(`listen ${channel}`);
    wasUp = true;
    listener.onUp();
    const over = AbortSignal.any([signal, lost.signal]);
    while (await sleepUnlessAborted(pingEveryMs, over)) await client.query('select 1');
  } catch (error) {
    reason = errorMessage(error);
  }
  await endOf(client, lost.signal);
  return { reason, wasUp };
}

/** A server that does not answer any more does not say good-bye either. */
async function endOf(client: pg.Client, lost: AbortSignal): Promise<void> {
  const ended = client.end().catch(() => {});
  if (lost.aborted) return;
  const waited = new AbortController();
  await Promise.race([ended, sleepUnlessAborted(1_000, waited.signal)]);
  waited.abort();
}
