// Replaces secret values by *** in everything that leaves an attempt.
import type { Json } from './api.ts';
import { mapStrings, storableText } from './storable-text.ts';

export interface SecretMask {
  /** Remembers a value, its lines, and the forms in which it often shows (base64, percent-encoded). */
  add(value: string): void;
  readonly isEmpty: boolean;
  /** Characters of the longest remembered form. */
  readonly longest: number;
  text(text: string): string;
  json(value: Json): Json;
}

/** Shorter values would mask ordinary text, and are no secrets. */
const shortest = 3;
/** Encoded forms and single lines of shorter values are too likely to be something else. */
const shortestForm = 8;

export function createSecretMask(values: readonly string[]): SecretMask {
  const forms = new Set<string>();
  let pattern: RegExp | undefined;
  let longest = 0;

  const remember = (form: string, atLeast: number) => {
    if (form.length < atLeast || forms.has(form)) return;
    forms.add(form);
    longest = Math.max(longest, form.length);
    pattern = undefined;
  };
  const mask: SecretMask = {
    add(value) {
      remember(value, shortest);
      remember(encodeURIComponent(storableText(value)), shortestForm);
      remember(Buffer.from(value).toString('base64'), shortestForm);
      // A log is kept by lines: a key of many lines has to be known by each of them.
      if (value.includes('\n')) for (const line of value.split('\n')) remember(line.trim(), shortestForm);
    },
    get isEmpty() {
      return forms.size === 0;
    },
    get longest() {
      return longest;
    },
    text(text) {
      if (forms.size === 0) return text;
      pattern ??= compile(forms);
      return text.replace(pattern, '***');
    },
    json: (value) => (forms.size === 0 ? value : mapStrings(value, mask.text)),
  };
  for (const value of values) mask.add(value);
  return mask;
}

/** Longest first, so that a secret that holds another one goes as a whole. */
function compile(forms: ReadonlySet<string>): RegExp {
  const sorted = [...forms].sort((one, other) => other.length - one.length);
  return new RegExp(sorted.map((form) => form.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')).join('|'), 'g');
}
