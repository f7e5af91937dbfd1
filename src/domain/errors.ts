// The few error codes of Cronwright; HTTP and CLI map them to answers in one place each.

export type ErrorCode =
  | 'invalid_input' // the caller's input is wrong: 400, exit 2
  | 'invalid_config' // a file is wrong: exit 2
  | 'unauthorized' // 401
  | 'forbidden' // 403: foreign Host or Origin
  | 'not_found' // 404
  | 'conflict' // 409: the state forbids it
  | 'too_large' // 413
  | 'unsupported_media_type' // 415
  | 'limit_reached' // 429: queue full or rate
  | 'unavailable' // 503: the database cannot be reached
  | 'internal'; // 500

/** Where an input is wrong: a JSON pointer or key path, or file, line and column (1-based). */
export interface ErrorPlace {
  path?: string;
  file?: string;
  line?: number;
  column?: number;
}

/** One thing that is wrong with an input: where, what was got, what was expected. */
export interface Problem extends ErrorPlace {
  message: string;
  got?: string;
  expected?: string;
}

export class CronwrightError extends Error {
  readonly code: ErrorCode;
  readonly problems: readonly Problem[];
  /** Further fields for machines, e.g. `{ state, requested }` of a 409. Never secrets. */
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    code: ErrorCode,
    message: string,
    options: { cause?: unknown; problems?: readonly Problem[]; details?: Readonly<Record<string, unknown>> } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'CronwrightError';
    this.code = code;
    this.problems = options.problems ?? [];
    this.details = options.details ?? {};
  }
}

/** The text of anything thrown, for logs and stored errors. */
export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
