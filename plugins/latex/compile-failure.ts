// What is said of a document that does not compile: the error's line with its neighbours, and the log within bounds.
import { StepError } from 'cronwright/plugin';

export interface LogError {
  /** 1 is the first; null where the engine names none. */
  line: number | null;
  message: string;
}

/** Characters of the log that stand in the error itself; the artifact has more. */
const logCharacters = 24_000;
/** Lines before and after the faulty one. */
const neighbours = 3;
const longestLine = 200;

/** Why the engine was ended before it came to an end. */
export type Cut = 'timeout' | 'memory' | 'processor' | 'output';

/** Details: `log`, `log_artifact`, `snippet`, `line`, `message`, `reason`. */
export function compileFailure(
  source: string,
  found: LogError,
  told: { log?: string; logArtifact?: string; reason: 'error' | Cut },
): StepError {
  const where = found.line === null ? '' : `line ${found.line}: `;
  return new StepError('fatal', `${where}${found.message}`, {
    name: 'CompileError',
    details: {
      reason: told.reason,
      message: found.message,
      line: found.line,
      snippet: found.line === null ? null : snippetOf(source, found.line),
      log: told.log === undefined ? null : shorten(told.log),
      log_artifact: told.logArtifact ?? null,
    },
  });
}

/** The first error of a log that was written with -file-line-error; what follows it is mostly its consequence. */
export function firstError(log: string): LogError {
  const found = /^(?:(?:\.\/)?[\w.-]+\.\w+:(?<line>\d+): |!\s*)(?<message>.*)$/m.exec(log);
  // Of an error without one the engine still says where it stood.
  const line = found?.groups?.line ?? /^l\.(\d+) /m.exec(log)?.[1];
  const message = clean(found?.groups?.message ?? 'the engine gave no reason', log);
  return { line: line === undefined ? null : Number(line), message };
}

/** The text of the line where it helps: TeX says which command is undefined only below the error. */
function clean(message: string, log: string): string {
  const text = message.replace(/\s+/g, ' ').trim();
  if (!/^Undefined control sequence\.?$/.test(text)) return text;
  const command = /^l\.\d+ .*?(\\[A-Za-z@]+|\\.)\s*$/m.exec(log)?.[1];
  return command === undefined ? text : `Undefined control sequence ${command}`;
}

function snippetOf(source: string, line: number): string {
  const lines = source.split('\n');
  const from = Math.max(1, line - neighbours);
  const to = Math.min(lines.length, line + neighbours);
  const width = String(to).length;
  const shown: string[] = [];
  for (let n = from; n <= to; n += 1) {
    const mark = n === line ? '>' : ' ';
    shown.push(`${mark} ${String(n).padStart(width)} | ${(lines[n - 1] ?? '').slice(0, longestLine)}`);
  }
  return shown.join('\n');
}

function shorten(log: string): string {
  if (log.length <= logCharacters) return log;
  const half = logCharacters / 2;
  return `${log.slice(0, half)}\n[… ${log.length - logCharacters} characters …]\n${log.slice(-half)}`;
}
