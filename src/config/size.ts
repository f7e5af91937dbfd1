// Sizes as people write them (`512MB`, `1.5 GB`), as bytes; a number without a unit is refused.

/** Of a size as it is written. */
export const sizePattern = /^\d+(?:\.\d+)?\s*(?:KB|MB|GB)$/;

export const sizeExpectation = 'a number and a unit: 512KB, 256MB, 1.5GB (1 KB is 1024 bytes)';

const units = { KB: 1_024, MB: 1_048_576, GB: 1_073_741_824 } as const;

/** Bytes; undefined where the text is none. */
export function parseSize(text: string): number | undefined {
  const trimmed = text.trim();
  if (trimmed.length > 40 || !sizePattern.test(trimmed)) return undefined;
  const unit = trimmed.slice(-2) as keyof typeof units;
  return Math.round(Number(trimmed.slice(0, -2).trim()) * units[unit]);
}
