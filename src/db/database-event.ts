// What a database tells its host besides answers: events for the log and durations for the metrics.

export type DatabaseEvent =
  | { type: 'retry'; operation: string; attempt: number; delayMs: number; reason: string; sqlState?: string }
  | { type: 'connection_lost'; reason: string }
  | { type: 'lock_taken_over'; path: string; formerPid: number }
  | { type: 'initialised'; dataDir: string; seconds: number }
  | { type: 'upkeep'; seconds: number; writes: number }
  | { type: 'upkeep_failed'; reason: string };

export interface DatabaseHooks {
  onEvent?: (event: DatabaseEvent) => void;
  /** Every statement sent, transactions' own included, with the seconds from sending to the answer. */
  onQuery?: (operation: string, seconds: number, ok: boolean) => void;
}
