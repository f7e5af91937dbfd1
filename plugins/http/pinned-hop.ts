// One HTTP exchange with an address that was looked up once, checked, and pinned, so that a name cannot change its mind in between.
import type { LookupFunction } from 'node:net';
import { type StepContext, StepError } from 'cronwright/plugin';
import type { Agent, Dispatcher } from 'undici';

type Addresses = Awaited<ReturnType<StepContext['lookup']>>;

export interface Hop {
  url: URL;
  method: string;
  headers: Readonly<Record<string, string>>;
  body: string | undefined;
}

export interface HopOptions {
  signal: AbortSignal;
  /** Checked addresses of a host; rejects for those that may not be reached. */
  lookup: StepContext['lookup'];
}

/** Passes the response to `use` while the connection is open. Refused addresses are a fatal AddressRefused. */
export async function exchange<T>(
  hop: Hop,
  options: HopOptions,
  use: (response: Dispatcher.ResponseData) => Promise<T>,
): Promise<T> {
  const addresses = await checkedAddresses(hop.url, options);
  const { Agent, request } = await import('undici');
  const agent: Agent = new Agent({ connect: { lookup: pinnedTo(addresses), timeout: 10_000 } });
  try {
    const response = await request(hop.url, {
      dispatcher: agent,
      method: hop.method as Dispatcher.HttpMethod,
      headers: hop.headers,
      body: hop.body ?? null,
      signal: options.signal,
      // The signal holds the only clock: undici's own would end what the step's timeout allows.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
    return await use(response);
  } finally {
    // Whatever is left of the body is of no use to anyone.
    await agent.destroy();
  }
}

async function checkedAddresses(url: URL, { lookup }: HopOptions): Promise<Addresses> {
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new StepError('fatal', `protocol is ${url.protocol.slice(0, -1)}, expected http or https`);
  }
  return lookup(url.hostname, Number(url.port) || (url.protocol === 'https:' ? 443 : 80));
}

function pinnedTo(addresses: Addresses): LookupFunction {
  return (_hostname, options, callback) => {
    const [first] = addresses;
    if (options.all) callback(null, [...addresses]);
    else callback(null, first?.address ?? '', first?.family ?? 4);
  };
}
