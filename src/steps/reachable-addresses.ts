// Looks up the addresses of a host and refuses those that steps may not reach.
import type { LookupAddress } from 'node:dns';
import { lookup as systemLookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { isAllowedByHost, isPublicAddress } from './allowed-address.ts';
import { StepError } from './api.ts';

/** All addresses of a name. Replaced in tests. */
export type Lookup = (hostname: string) => Promise<readonly LookupAddress[]>;

const lookupAll: Lookup = (hostname) => systemLookup(hostname, { all: true });

export interface ReachOptions {
  /** Hosts (`name`, `name:port`, CIDR) that may be reached although their addresses are private. */
  allowPrivateHosts: readonly string[];
  lookup?: Lookup;
}

/** Never empty. One refused address refuses the host: fatal AddressRefused. */
export async function reachableAddresses(
  host: string,
  port: number,
  { allowPrivateHosts, lookup = lookupAll }: ReachOptions,
): Promise<readonly LookupAddress[]> {
  const hostname = host.replace(/^\[(.*)\]$/, '$1');
  const family = isIP(hostname);
  const addresses = family === 0 ? await lookup(hostname) : [{ address: hostname, family }];
  for (const { address } of addresses) {
    if (isPublicAddress(address)) continue;
    if (isAllowedByHost(allowPrivateHosts, { hostname, port, address })) continue;
    // The address itself is not told: who may not reach a network need not learn its addresses.
    const text = `${host}:${port} is not at a public address; http.allow_private_hosts may allow it`;
    throw new StepError('fatal', text, { name: 'AddressRefused' });
  }
  if (addresses.length === 0) throw new StepError('transient', `${hostname} has no address`, { name: 'NoAddress' });
  return addresses;
}
