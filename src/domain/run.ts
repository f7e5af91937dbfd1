// The states of runs and steps and what may follow what: the table of DESIGN §4, held in one place.

export const runStates = [
  'scheduled',
  'pending',
  'running',
  'waiting',
  'retrying',
  'paused',
  'rolling_back',
  'rollback_failed',
  'completed',
  'failed',
  'cancelled',
  'rolled_back',
  'dead_letter',
] as const;
export type RunState = (typeof runStates)[number];

export const terminalStates = ['completed', 'failed', 'cancelled', 'rolled_back', 'dead_letter'] as const;
export type TerminalState = (typeof terminalStates)[number];

export type StepState =
  | 'pending'
  | 'running'
  | 'waiting'
  | 'completed'
  | 'failed'
  | 'skipped'
  | 'compensated'
  | 'cancelled';

export type WaitKind =
  | 'approval'
  | 'manual_edit'
  | 'ai_fix'
  | 'timer'
  | 'rate_limit'
  | 'budget'
  | 'children'
  | 'step_retry';

/** Whether it takes a person, or a time somebody chose: a run's timeout does not count it (DESIGN §7). */
export function isForPeople(kind: WaitKind): boolean {
  return kind === 'approval' || kind === 'manual_edit' || kind === 'ai_fix' || kind === 'budget' || kind === 'timer';
}

export const origins = ['schedule', 'api', 'cli', 'backfill', 'retry', 'fork', 'parent', 'sensor', 'webhook'] as const;
export type Origin = (typeof origins)[number];

const followers: Readonly<Record<RunState, readonly RunState[]>> = {
  scheduled: ['pending', 'paused', 'cancelled'],
  pending: ['running', 'paused', 'cancelled'],
  running: [
    'completed',
    'failed',
    'cancelled',
    'waiting',
    'retrying',
    'paused',
    'rolling_back',
    'pending',
    'dead_letter',
  ],
  waiting: ['pending', 'failed', 'cancelled', 'rolling_back'],
  retrying: ['pending', 'paused', 'cancelled'],
  paused: ['pending', 'cancelled'],
  rolling_back: ['rolled_back', 'rollback_failed', 'paused'],
  rollback_failed: ['rolling_back'],
  completed: [],
  failed: [],
  cancelled: [],
  rolled_back: [],
  dead_letter: [],
};

/** Whether a run may go from one state to the other. */
export function canTransition(from: RunState, to: RunState): boolean {
  return followers[from].includes(to);
}

/** The states a run may go to from `from`; none for a terminal state. */
export function nextStates(from: RunState): readonly RunState[] {
  return followers[from];
}

export function isTerminal(state: RunState): state is TerminalState {
  return followers[state].length === 0;
}

/** The word of OpenTelemetry for how a run ended: the label `result` of `cronwright_runs_total`. */
export function resultOfState(state: TerminalState, timedOut: boolean): string {
  if (timedOut) return 'timeout';
  const words: Record<TerminalState, string> = {
    completed: 'success',
    failed: 'failure',
    cancelled: 'cancellation',
    rolled_back: 'failure',
    dead_letter: 'error',
  };
  return words[state];
}

/** One change of a run or of one of its steps, as history keeps it. */
export interface Transition {
  /** `run.enqueued`, `run.claimed`, `step.completed`, …: the event's name. */
  event: string;
  /** Instant in milliseconds since the epoch, of the node's (database-adjusted) clock. */
  at: number;
  from?: string;
  to?: string;
  step?: string;
  item?: number;
  attempt?: number;
  node?: string;
  actor?: string;
  reason?: string;
  data?: unknown;
}
