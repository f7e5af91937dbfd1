// `ctx.fetch`: the standard's fetch over connections that go to checked addresses only, whatever redirects or names say.
import type { LookupFunction } from 'node:net';
import type { Agent, buildConnector } from 'undici';
import { StepError } from './api.ts';
import { type ReachOptions, reachableAddresses } from './reachable-addresses.ts';

export type Fetch = (url: string | URL, init?: RequestInit) => Promise<Response>;

export interface GuardedFetch {
  readonly fetch: Fetch;
  /** Ends its connections, bodies that are still read included. */
  close(): void;
}

export function createGuardedFetch(options: ReachOptions): GuardedFetch {
  let agent: Promise<Agent> | undefined;
  return {
    async fetch(url, init) {
      // Loaded at the first call: most steps speak no HTTP.
      const { fetch } = await import('undici');
      agent ??= createAgent(options);
      try {
        const answer = await fetch(url, { ...(init as object), dispatcher: await agent });
        return answer as unknown as Response;
      } catch (error) {
        const cause = error instanceof Error ? error.cause : undefined;
        throw cause instanceof StepError ? cause : error;
      }
    },
    close() {
      void agent?.then((one) => one.destroy());
    },
  };
}

async function createAgent(options: ReachOptions): Promise<Agent> {
  const { Agent, buildConnector } = await import('undici');
  const connect: buildConnector.connector = (target, callback) => {
    const port = Number(target.port) || (target.protocol === 'https:' ? 443 : 80);
    reachableAddresses(target.hostname, port, options).then(
      (addresses) => buildConnector({ timeout: 10_000, lookup: pinnedTo(addresses) })(target, callback),
      (error: Error) => callback(error, null),
    );
  };
  // The caller's signal holds the only clock: undici's own would end what the step's timeout allows.
  return new Agent({ connect, headersTimeout: 0, bodyTimeout: 0 });
}

/** The connection goes to what was checked, and a name cannot change its mind in between. */
function pinnedTo(addresses: Awaited<ReturnType<typeof reachableAddresses>>): LookupFunction {
  return (_hostname, options, callback) => {
    const [first] = addresses;
    if (options.all) callback(null, [...addresses]);
    else callback(null, first?.address ?? '', first?.family ?? 4);
  };
}
