// Shows where a cron expression is wrong: the expression, and a caret under the column.
import { CronError } from '../domain/cron/cron-error.ts';
import { CronwrightError, errorMessage } from '../domain/errors.ts';

/** The error of a cron expression or a time zone as wrong input; anything else as it is. */
export function explainCronError(error: unknown): unknown {
  if (error instanceof CronError) {
    const shown = oneLine(error.expression);
    const column = Math.min(error.column, shown.length);
    return new CronwrightError('invalid_input', `the cron expression is not accepted: ${error.reason}`, {
      problems: [{ path: 'expression', column: error.column + 1, message: error.reason, got: error.expression }],
      details: { excerpt: caretUnder(shown, column) },
    });
  }
  if (error instanceof Error && error.name === 'ZoneError') {
    return new CronwrightError('invalid_input', errorMessage(error), {
      problems: [{ path: 'timezone', message: errorMessage(error) }],
    });
  }
  return error;
}

const widest = 100;

function caretUnder(expression: string, column: number): string {
  // Of a long expression the part around the caret.
  const start =
    expression.length <= widest ? 0 : Math.max(0, Math.min(column - widest / 2, expression.length - widest));
  const part = expression.slice(start, start + widest);
  const before = start > 0 ? '…' : '';
  const after = start + widest < expression.length ? '…' : '';
  return `  ${before}${part}${after}\n  ${' '.repeat(before.length + column - start)}^`;
}

/** One character stays one column: what has no width or more than one becomes a mark. */
function oneLine(text: string): string {
  return text.replace(/[\t\n\r]/g, ' ').replace(/[^\x20-\x7e]/g, '?');
}
