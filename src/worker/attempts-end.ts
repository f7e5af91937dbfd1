// What the attempts of one step, or one item, came to.
import type { WaitKind } from '../domain/run.ts';
import type { AbortReason } from '../steps/api.ts';

export type AttemptsEnd =
  | { kind: 'completed' }
  | { kind: 'failed' }
  /** A person said so. */
  | { kind: 'skipped'; by: string | null }
  /** Further off than a worker is held for; Infinity: until somebody says so. */
  | { kind: 'waiting'; untilMs: number; waitKind: WaitKind }
  /** A pause was asked for: what is left of it is for after the resume. */
  | { kind: 'paused' }
  | { kind: 'interrupted'; by: AbortReason };
