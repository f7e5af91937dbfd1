// Replaces secret values by *** in everything that leaves an attempt.
import type { Json } from './api.ts';
import { mapStrings, storableText } from './storable-text.ts';

/** Shorter values would mask ordinary text, and are no secrets. */
const shortest = 3;
/** Encoded forms and single lines of shorter values are too likely to be something else. */
const shortestForm = 8;

/** One for each attempt; a class, because it is made for every one and rarely holds anything. */
export class SecretMask {
  #forms: Set<string> | undefined;
  #pattern: RegExp | undefined;
  #longest = 0;

  constructor(values: readonly string[] = []) {
    for (const value of values) this.add(value);
  }

  /** Remembers a value, its lines, and the forms in which it often shows (base64, percent-encoded). */
  add(value: string): void {
    this.#remember(value, shortest);
    this.#remember(encodeURIComponent(storableText(value)), shortestForm);
    this.#remember(Buffer.from(value).toString('base64'), shortestForm);
    // A log is kept by lines: a key of many lines has to be known by each of them.
    if (value.includes('\n')) for (const line of value.split('\n')) this.#remember(line.trim(), shortestForm);
  }

  get isEmpty(): boolean {
    return this.#forms === undefined;
  }

  /** Characters of the longest remembered form. */
  get longest(): number {
    return this.#longest;
  }

  text(text: string): string {
    if (this.#forms === undefined) return text;
    this.#pattern ??= compile(this.#forms);
    return text.replace(this.#pattern, '***');
  }

  json(value: Json): Json {
    return this.#forms === undefined ? value : mapStrings(value, (text) => this.text(text));
  }

  #remember(form: string, atLeast: number): void {
    if (form.length < atLeast) return;
    this.#forms ??= new Set();
    this.#forms.add(form);
    this.#longest = Math.max(this.#longest, form.length);
    this.#pattern = undefined;
  }
}

/** Longest first, so that a secret that holds another one goes as a whole. */
function compile(forms: ReadonlySet<string>): RegExp {
  const sorted = [...forms].sort((one, other) => other.length - one.length);
  return new RegExp(sorted.map((form) => form.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')).join('|'), 'g');
}
