// Tells what went wrong on stderr: in words for people, as one JSON object for machines; never a stack unless asked for.
import { CronwrightError, errorMessage, type Problem } from '../domain/errors.ts';
import { problemLine } from '../domain/problem-line.ts';
import type { CliContext } from './cli-context.ts';
import { type ExitCode, exitCodeOf, exitCodes } from './exit-code.ts';
import { plainText } from './plain-text.ts';

/** Writes the error and returns the exit code it stands for. `CRONWRIGHT_DEBUG` adds the stack. */
export function reportError(context: CliContext, error: unknown, json: boolean): ExitCode {
  if (json) context.stderr.write(`${JSON.stringify({ error: errorForMachines(error) })}\n`);
  else context.stderr.write(`${errorForPeople(context, error)}\n`);
  if (context.env.CRONWRIGHT_DEBUG && error instanceof Error) context.stderr.write(`${error.stack}\n`);
  return error instanceof CronwrightError ? exitCodeOf(error.code) : exitCodes.failed;
}

function errorForMachines(error: unknown): Record<string, unknown> {
  if (!(error instanceof CronwrightError)) return { code: 'internal', message: errorMessage(error), problems: [] };
  const { excerpt: _excerpt, hint: _hint, ...facts } = error.details;
  return { ...facts, code: error.code, message: error.message, problems: error.problems };
}

function errorForPeople(context: CliContext, error: unknown): string {
  const { red, dim } = context.stderr.colors;
  const message = plainText(errorMessage(error));
  const lines = [`${red('error:')} ${message}`];
  if (error instanceof CronwrightError) {
    const { excerpt, hint } = error.details;
    if (typeof excerpt === 'string') lines.push(excerpt);
    // A message that already tells its problems is not told twice.
    if (!error.problems.every((problem) => isTold(message, problem))) {
      lines.push(...error.problems.map((problem) => `  ${plainText(problemLine(problem))}`));
    }
    if (typeof hint === 'string') lines.push(dim(hint));
  }
  if (error instanceof Error && error.cause !== undefined) {
    const cause = plainText(errorMessage(error.cause));
    if (cause !== '' && !message.includes(cause)) lines.push(dim(`  because: ${cause}`));
  }
  return lines.join('\n');
}

function isTold(message: string, { path, got, message: what }: Problem): boolean {
  return (
    message.includes(what) ||
    (path !== undefined && got !== undefined && message.includes(path) && message.includes(got))
  );
}
