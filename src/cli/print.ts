// Writes answers to stdout: lines for people, one JSON document or a line of NDJSON for machines.
import type { CliContext } from './cli-context.ts';

/** One line for people. */
export function printLine(context: CliContext, text = ''): void {
  context.stdout.write(`${text}\n`);
}

/** The one JSON document of a command. */
export function printJson(context: CliContext, value: unknown): void {
  context.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

/** One line of a stream of JSON documents. */
export function printJsonLine(context: CliContext, value: unknown): void {
  context.stdout.write(`${JSON.stringify(value)}\n`);
}

/** A remark for people that must not disturb what reads stdout. */
export function printNote(context: CliContext, text: string): void {
  context.stderr.write(`${text}\n`);
}
