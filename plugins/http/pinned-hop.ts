// One HTTP exchange with an address that was looked up once, checked, and pinned, so that a name cannot change its mind in between.
import type { LookupAddress } from 'node:dns';
import { lookup as systemLookup } from 'node:dns/promises';
import { isIP, type LookupFunction } from 'node:net';
import { StepError } from 'cronwright/plugin';
import type { Agent, Dispatcher } from 'undici';
import { isAllowedByHost, isPublicAddress } from './allowed-address.ts';

/** All addresses of a name. Replaced in tests. */
export type Lookup = (hostname: string) => Promise<readonly LookupAddress[]>;

export const lookupAll: Lookup = (hostname) => systemLookup(hostname, { all: true });

export interface Hop {
  url: URL;
  method: string;
  headers: Readonly<Record<string, string>>;
  body: string | undefined;
}

export interface HopOptions {
  signal: AbortSignal;
  allowPrivateHosts: readonly string[];
  lookup: Lookup;
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

async function checkedAddresses(url: URL, options: HopOptions): Promise<readonly LookupAddress[]> {
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new StepError('fatal', `protocol is ${url.protocol.slice(0, -1)}, expected http or https`);
  }
  const hostname = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const family = isIP(hostname);
  const addresses = family === 0 ? await options.lookup(hostname) : [{ address: hostname, family }];
  const port = Number(url.port) || (url.protocol === 'https:' ? 443 : 80);
  for (const { address } of addresses) {
    if (isPublicAddress(address)) continue;
    if (isAllowedByHost(options.allowPrivateHosts, { hostname, port, address })) continue;
    // The address itself is not told: who may not reach a network need not learn its addresses.
    throw new StepError('fatal', `${url.host} is not at a public address; http.allow_private_hosts may allow it`, {
      name: 'AddressRefused',
    });
  }
  if (addresses.length === 0) throw new StepError('transient', `${hostname} has no address`, { name: 'NoAddress' });
  return addresses;
}

function pinnedTo(addresses: readonly LookupAddress[]): LookupFunction {
  return (_hostname, options, callback) => {
    const [first] = addresses;
    if (options.all) callback(null, [...addresses]);
    else callback(null, first?.address ?? '', first?.family ?? 4);
  };
}
