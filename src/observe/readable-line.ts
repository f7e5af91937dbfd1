// Turns a JSON log line into one that people read at a terminal: time, level, event, fields.
import { createColors } from 'picocolors';

/** Makes the formatter; `colour` says whether the terminal shows colours. What is no JSON passes unchanged. */
export function createReadableLine(colour: boolean): (line: string) => string {
  const colours = createColors(colour);
  const levels: Record<string, (text: string) => string> = {
    trace: colours.gray,
    debug: colours.gray,
    info: colours.green,
    warn: colours.yellow,
    error: colours.red,
    fatal: colours.red,
  };
  return (line) => {
    const entry = parse(line);
    if (!entry) return line;
    const { time, level, msg, err, ...fields } = entry;
    const word = String(level ?? '');
    const paint = levels[word] ?? String;
    const pairs = Object.entries(fields).map(([key, value]) => `${colours.dim(`${key}=`)}${readable(value)}`);
    const parts = [colours.dim(clockTime(time)), paint(word.toUpperCase().padEnd(5)), String(msg ?? ''), ...pairs];
    return `${parts.filter((part) => part !== '').join(' ')}\n${stackOf(err)}`;
  };
}

function parse(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** `2026-11-22T03:10:00.123Z` → `03:10:00.123Z`: the day rarely matters at a terminal, the zone always does. */
function clockTime(time: unknown): string {
  return typeof time === 'string' ? time.slice(time.indexOf('T') + 1) : '';
}

function readable(value: unknown): string {
  if (typeof value !== 'string') return JSON.stringify(value) ?? 'undefined';
  return /[\s"=]/.test(value) || value === '' ? JSON.stringify(value) : value;
}

function stackOf(error: unknown): string {
  if (typeof error !== 'object' || error === null || !('stack' in error)) return '';
  return `${String(error.stack).replace(/^/gm, '    ')}\n`;
}
