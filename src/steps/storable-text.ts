// Makes text and JSON storable: PostgreSQL refuses NUL in text, and lone surrogates in jsonb.
import type { Json } from './api.ts';

const loneSurrogate = /\p{Cs}/gu;

/** The text with NUL and lone surrogates replaced by U+FFFD. */
export function storableText(text: string): string {
  const withoutNul = text.includes('\0') ? text.replaceAll('\0', '\uFFFD') : text;
  return withoutNul.replace(loneSurrogate, '\uFFFD');
}

/** A copy with every string, keys included, passed through `change`. */
export function mapStrings(value: Json, change: (text: string) => string): Json {
  if (typeof value === 'string') return change(value);
  if (Array.isArray(value)) return value.map((element) => mapStrings(element, change));
  if (value === null || typeof value !== 'object') return value;
  // defineProperty semantics of fromEntries keep a key called __proto__ an ordinary key.
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [change(key), mapStrings(inner, change)]));
}
