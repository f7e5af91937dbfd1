// The log of one attempt: what the step says and what its programs print, masked, bounded and cut into lines.
import type { Json, Log } from './api.ts';
import type { LogLine } from './attempt-services.ts';
import { createLineSplitter, type LineSplitter } from './line-splitter.ts';
import type { SecretMask } from './secret-mask.ts';
import { maxLineCharacters, maxLogBytes } from './step-limits.ts';
import { mapStrings, storableText } from './storable-text.ts';

export interface AttemptLog {
  readonly log: Log;
  output(stream: 'stdout' | 'stderr', chunk: string): void;
  /** Passes on unfinished lines; what comes later is dropped. */
  close(): void;
}

export function createAttemptLog(
  write: (line: LogLine) => void,
  mask: SecretMask,
  maxBytes: number = maxLogBytes,
): AttemptLog {
  let room = maxBytes;
  let closed = false;
  const splitters: Partial<Record<'stdout' | 'stderr', LineSplitter>> = {};

  const clean = (text: string) => storableText(mask.text(text));
  const pass = (line: LogLine, size: number) => {
    if (room < 0) return;
    room -= size;
    if (room >= 0) write(line);
    else
      write({
        level: 'warn',
        stream: 'log',
        message: `log cut: more than ${maxBytes} bytes from one attempt, the rest is dropped`,
      });
  };
  const splitterFor = (stream: 'stdout' | 'stderr') => {
    // A secret that begins before the cut must be whole when it is masked: hold as much more.
    const keep = () => maxLineCharacters + mask.longest;
    return createLineSplitter(keep, (line, cut) => {
      const masked = clean(line);
      const dropped = cut + Math.max(0, masked.length - maxLineCharacters);
      const message = dropped === 0 ? masked : `${masked.slice(0, maxLineCharacters)} … (${dropped} more characters)`;
      pass({ level: stream === 'stderr' ? 'warn' : 'info', stream, message }, Buffer.byteLength(message));
    });
  };
  const say = (level: LogLine['level'], message: string, fields?: Record<string, unknown>) => {
    if (closed || room < 0) return;
    const masked = clean(message);
    const text = masked.length <= maxLineCharacters ? masked : `${masked.slice(0, maxLineCharacters)} …`;
    const line: LogLine = { level, stream: 'log', message: text };
    let size = Buffer.byteLength(text);
    if (fields !== undefined) {
      const plain = plainFields(fields);
      size += JSON.stringify(plain).length;
      line.fields = mapStrings(plain, clean) as { [key: string]: Json };
    }
    pass(line, size);
  };

  return {
    log: {
      debug: (message, fields) => say('debug', message, fields),
      info: (message, fields) => say('info', message, fields),
      warn: (message, fields) => say('warn', message, fields),
      error: (message, fields) => say('error', message, fields),
    },
    output(stream, chunk) {
      if (closed || room < 0) return;
      splitters[stream] ??= splitterFor(stream);
      splitters[stream].write(chunk);
    },
    close() {
      splitters.stdout?.end();
      splitters.stderr?.end();
      closed = true;
    },
  };
}

/** Fields as JSON: errors by name and message, what JSON cannot say as text, and nothing too large for a line. */
export function plainFields(fields: Record<string, unknown>): { [key: string]: Json } {
  try {
    const text = JSON.stringify(fields, (_key, value: unknown) => {
      if (value instanceof Error) return { name: value.name, message: value.message };
      return typeof value === 'bigint' ? value.toString() : value;
    });
    if (text.length <= maxLineCharacters) return JSON.parse(text) as { [key: string]: Json };
    return { cut: `${text.length} characters of fields, shown are ${Object.keys(fields).slice(0, 20).join(', ')}` };
  } catch {
    return { unsayable: Object.keys(fields).slice(0, 20).join(', ') };
  }
}
