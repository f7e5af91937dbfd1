// Decides which addresses a request may reach: public ones, and those that the host's settings name.
import ipaddr from 'ipaddr.js';

/** Ranges that an address family reaches public peers through, with the IPv4 address within. */
const wellKnownNat64 = ipaddr.parseCIDR('64:ff9b::/96');
const localNat64 = ipaddr.parseCIDR('64:ff9b:1::/48');
/** Metadata services at public addresses. */
const metadata: ReadonlySet<string> = new Set(['168.63.129.16']);

/**
 * True for addresses of the public internet only: no loopback, private, link-local, shared (CGNAT), multicast, reserved,
 * documentation or metadata address, in whichever form it hides (IPv4-mapped, NAT64, 6to4, Teredo).
 */
export function isPublicAddress(text: string): boolean {
  const withoutZone = text.split('%', 1)[0] ?? '';
  if (!ipaddr.isValid(withoutZone)) return false;
  const address = ipaddr.parse(withoutZone);
  if (address instanceof ipaddr.IPv4) return address.range() === 'unicast' && !metadata.has(address.toString());
  if (address.isIPv4MappedAddress()) return isPublicAddress(address.toIPv4Address().toString());
  if (address.match(wellKnownNat64)) return isPublicAddress(embeddedIPv4(address));
  if (address.match(localNat64)) return false;
  return address.range() === 'unicast' && isGlobalUnicast(address);
}

/** Whether a setting (`name`, `name:port` or CIDR) allows this host, or this address of it. */
export function isAllowedByHost(
  settings: readonly string[],
  target: { hostname: string; port: number; address: string },
): boolean {
  const name = bare(target.hostname);
  return settings.some((setting) => {
    const wanted = setting.trim().toLowerCase();
    if (wanted.includes('/')) return isInRange(target.address, wanted);
    return bare(wanted) === name || wanted === `${name}:${target.port}` || wanted === `[${name}]:${target.port}`;
  });
}

function isInRange(text: string, cidr: string): boolean {
  if (!ipaddr.isValidCIDR(cidr) || !ipaddr.isValid(text)) return false;
  const [range, bits] = ipaddr.parseCIDR(cidr);
  // Maps IPv4-mapped addresses back, so that 127.0.0.0/8 means the same in both families.
  const address = ipaddr.process(text);
  if (address instanceof ipaddr.IPv4) return range instanceof ipaddr.IPv4 && address.match(range, bits);
  return range instanceof ipaddr.IPv6 && address.match(range, bits);
}

/** 2000::/3 is all that is assigned as global unicast; the rest is nobody's or special. */
function isGlobalUnicast(address: ipaddr.IPv6): boolean {
  return ((address.parts[0] ?? 0) & 0xe000) === 0x2000;
}

function embeddedIPv4(address: ipaddr.IPv6): string {
  return ipaddr.fromByteArray(address.toByteArray().slice(12)).toString();
}

function bare(hostname: string): string {
  return hostname
    .toLowerCase()
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '');
}
