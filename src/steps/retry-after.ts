// Reads the header Retry-After: seconds, or a date.

/**
 * Milliseconds to wait (RFC 9110 §10.2.3); undefined where the header is absent or says nothing. A date is taken relative to
 * the peer's own Date header where there is one, so that a difference of the clocks does not matter.
 */
export function retryAfterMs(value: string | undefined, peerDate: string | undefined): number | undefined {
  const text = value?.trim() ?? '';
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1_000;
  const until = Date.parse(text);
  if (Number.isNaN(until)) return undefined;
  const peerNow = Date.parse(peerDate ?? '');
  const now = Number.isNaN(peerNow) ? performance.timeOrigin + performance.now() : peerNow;
  return Math.max(0, Math.round(until - now));
}
