// The refusal of a cron expression: where in the text, and why.

/** What is wrong with a cron expression. `column` is a 0-based offset into the expression as written. */
export class CronError extends Error {
  readonly expression: string;
  readonly column: number;
  readonly reason: string;

  constructor(expression: string, column: number, reason: string) {
    super(`cron expression ${shown(expression)} is refused at column ${column}: ${reason}`);
    this.name = 'CronError';
    this.expression = expression;
    this.column = column;
    this.reason = reason;
  }
}

function shown(expression: string): string {
  return JSON.stringify(expression.length > 80 ? `${expression.slice(0, 77)}...` : expression);
}
