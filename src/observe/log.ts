// The log: JSON lines with the trace they belong to, without secrets; a readable form for terminals.
import { isSpanContextValid, trace } from '@opentelemetry/api';
import pino from 'pino';
import { createReadableLine } from './readable-line.ts';
import { redactLine } from './redact.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** snake_case names; `run_id`, `step` and `tenant` where they apply. An Error goes under `err`. */
export type LogFields = Readonly<Record<string, unknown>>;

export interface Logger {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
  isLevelEnabled(level: LogLevel): boolean;
  /** A logger that adds `fields` to each of its lines. */
  child(fields: LogFields): Logger;
  /** Writes out what is buffered and returns when it is written: before the process exits. */
  flush(): void;
}

export interface LogOptions {
  /** Lines below it are dropped; `trace` is as `debug`, `fatal` and `silent` drop all. */
  level: LogLevel | 'trace' | 'fatal' | 'silent';
  /** The readable form instead of JSON lines. */
  pretty?: boolean;
  /** Colours in the readable form; default: yes. */
  colour?: boolean;
  /** Where whole lines go; default: standard output, buffered while it is busy. */
  destination?: { write(line: string): unknown };
}

/** What standard output may owe before further lines are dropped, in bytes: a reader that hangs must not fill the memory. */
const maxBufferedBytes = 16 * 1024 * 1024;

export function createLog(options: LogOptions): Logger {
  const output = options.destination ? undefined : standardOutput();
  const target = options.destination ?? output ?? process.stdout;
  const readable = options.pretty ? createReadableLine(options.colour ?? true) : (line: string) => line;
  const logger = pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      mixin: traceFields,
      mixinMergeStrategy: (fields, added) => (added === noTrace ? fields : { ...added, ...fields }),
    },
    { write: (line: string) => target.write(readable(redactLine(line))) },
  );
  return adapt(logger, () => output?.flushSync());
}

/** Lines that cannot be written, the disk being full, wait for the next one and are dropped above the cap; the node goes on. */
function standardOutput() {
  const output = pino.destination({ fd: 1, sync: false, maxLength: maxBufferedBytes });
  let isFailing = false;
  output.on('error', () => {
    isFailing = true;
  });
  output.on('write', () => {
    isFailing = false;
  });
  const flush = output.flushSync.bind(output);
  // It tries for ever where writing fails, and it is called at exit, too.
  output.flushSync = () => {
    if (!isFailing) flush();
  };
  return output;
}

function adapt(logger: pino.Logger, flush: () => void): Logger {
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
    isLevelEnabled: (level) => logger.isLevelEnabled(level),
    child: (fields) => adapt(logger.child(fields), flush),
    flush,
  };
}

/** Shared, so that a line outside any trace copies nothing. */
const noTrace = Object.freeze({});

function traceFields(): object {
  const span = trace.getActiveSpan()?.spanContext();
  return span && isSpanContextValid(span) ? { trace_id: span.traceId, span_id: span.spanId } : noTrace;
}
