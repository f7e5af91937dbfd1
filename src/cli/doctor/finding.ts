// What one look of the doctor came to.

export interface Finding {
  /** What was looked at, in a word or two. */
  check: string;
  status: 'ok' | 'warn' | 'fail';
  /** What was found. Never a secret. */
  detail: string;
  /** What to do about it. */
  hint?: string;
}
