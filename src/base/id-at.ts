// The first id of version 7 that an instant has: ids made from then on sort behind it.

/** The smallest UUID v7 of a millisecond. */
export function idAt(ms: number): string {
  const hex = Math.max(0, Math.floor(ms)).toString(16).padStart(12, '0').slice(-12);
  return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-000000000000`;
}
