// The log as machines and people read it.
import { context, type Span, type SpanContext, trace } from '@opentelemetry/api';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { createEventBus } from '../../../src/observe/events.ts';
import { createLog, type LogOptions } from '../../../src/observe/log.ts';
import { createReadableLine } from '../../../src/observe/readable-line.ts';
import { subscribeLog } from '../../../src/observe/subscribe-log.ts';

function recordedLog(options: Partial<LogOptions> = {}) {
  const lines: string[] = [];
  const log = createLog({ level: 'info', destination: { write: (line) => lines.push(line) }, ...options });
  const entries = () => lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  return { log, lines, entries };
}

describe('JSON lines', () => {
  it('hold time in ISO 8601 UTC, the level as a word, the fields and the message, one line each', () => {
    const { log, lines, entries } = recordedLog();
    log.info({ url: 'http://127.0.0.1:8080', port: 8080 }, 'listening');
    expect(lines).toHaveLength(1);
    expect(lines[0]?.endsWith('}\n')).toBe(true);
    const [entry] = entries();
    expect(entry).toEqual({
      level: 'info',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      url: 'http://127.0.0.1:8080',
      port: 8080,
      msg: 'listening',
    });
  });

  it('are dropped below the level', () => {
    const { log, entries } = recordedLog({ level: 'warn' });
    log.debug({}, 'debug');
    log.info({}, 'info');
    log.warn({}, 'warn');
    log.error({}, 'error');
    expect(entries().map((entry) => entry.level)).toEqual(['warn', 'error']);
    expect(log.isLevelEnabled('info')).toBe(false);
  });

  it('carry the fields of a child, without its secrets', () => {
    const { log, entries } = recordedLog();
    log.child({ run_id: 'r1', password: 'hunter2' }).child({ step: 'fetch' }).info({ tenant: 'default' }, 'm');
    expect(entries()[0]).toMatchObject({ run_id: 'r1', step: 'fetch', tenant: 'default', password: '***' });
  });

  it('hold an error with its message, its cause and stack, without a secret in any of them', () => {
    const { log, lines, entries } = recordedLog();
    const cause = new Error('cannot reach postgres://u:hunter2@db/x');
    log.error({ err: new Error('claim failed', { cause }) }, 'service.crashed');
    expect(lines[0]).not.toContain('hunter2');
    expect(entries()[0]?.err).toMatchObject({
      type: 'Error',
      message: expect.stringContaining('cannot reach postgres://***@db/x'),
      stack: expect.stringContaining('log.test.ts'),
    });
  });
});

describe('the trace a line belongs to', () => {
  afterEach(() => vi.restoreAllMocks());

  const spanContext: SpanContext = {
    traceId: '0af7651916cd43dd8448eb211c80319c',
    spanId: 'b7ad6b7169203331',
    traceFlags: 1,
  };

  it('is the active span', () => {
    const { log, entries } = recordedLog();
    const span = trace.wrapSpanContext(spanContext);
    vi.spyOn(trace, 'getActiveSpan').mockReturnValue(span as Span);
    log.info({ run_id: 'r1' }, 'inside');
    expect(entries()[0]).toMatchObject({ trace_id: spanContext.traceId, span_id: spanContext.spanId, run_id: 'r1' });
  });

  it('is not named where there is none', () => {
    const { log, entries } = recordedLog();
    context.with(context.active(), () => log.info({}, 'outside'));
    expect(Object.keys(entries()[0] ?? {})).toEqual(['level', 'time', 'msg']);
  });
});

describe('events in the log', () => {
  function loggedEvents(level: LogOptions['level'] = 'info') {
    const recorded = recordedLog({ level });
    const events = createEventBus((_name, error) => {
      throw error;
    });
    const end = subscribeLog(events, recorded.log);
    return { ...recorded, events, end };
  }

  const finished = { runId: 'r1', tenant: 'default', pipeline: 'p', origin: 'api', state: 'completed', durationMs: 12 };

  it('are lines with the name of the event and snake_case fields', () => {
    const { events, entries } = loggedEvents();
    events.emit('run.finished', { ...finished, result: 'success' });
    expect(entries()[0]).toMatchObject({ level: 'info', msg: 'run.finished', run_id: 'r1', duration_ms: 12 });
    expect(entries()[0]).not.toHaveProperty('schedule');
  });

  it.each([
    ['success', 'info'],
    ['cancellation', 'info'],
    ['skip', 'info'],
    ['failure', 'warn'],
    ['timeout', 'warn'],
    ['error', 'warn'],
  ])('say a run that ended in %s at level %s', (result, level) => {
    const { events, entries } = loggedEvents();
    events.emit('run.finished', { ...finished, result });
    expect(entries().map((entry) => entry.level)).toEqual([level]);
  });

  it('write instants in ISO 8601', () => {
    const { events, entries } = loggedEvents('debug');
    events.emit('schedule.due', { schedule: 'p.s', tenant: 'default', nominalAt: 1_764_000_000_000, lagMs: 3 });
    expect(entries()[0]).toMatchObject({ level: 'debug', nominal_at: '2025-11-24T16:00:00.000Z', lag_ms: 3 });
  });

  it('are not written for what only metrics count', () => {
    const { events, entries } = loggedEvents('debug');
    events.emit('db.query', { operation: 'claim', seconds: 0.1, ok: true });
    events.emit('scheduler.ticked', { at: 0, due: 0 });
    events.emit('schedule.next', { schedule: 'p.s', tenant: 'default', nextAt: null });
    expect(entries()).toEqual([]);
  });

  it('say dead letters and clocks that are minutes off as errors', () => {
    const { events, entries } = loggedEvents();
    events.emit('run.rescued', { runId: 'r1', tenant: 'default', node: 'n', deadLetter: false });
    events.emit('run.rescued', { runId: 'r2', tenant: 'default', node: 'n', deadLetter: true });
    events.emit('clock.skewed', { byMs: -6_000 });
    events.emit('clock.skewed', { byMs: -600_000 });
    expect(entries().map((entry) => entry.level)).toEqual(['warn', 'error', 'warn', 'error']);
  });

  it('end with the subscription', () => {
    const { events, entries, end } = loggedEvents();
    end();
    events.emit('run.finished', { ...finished, result: 'success' });
    expect(entries()).toEqual([]);
  });
});

describe('the readable form', () => {
  const readable = createReadableLine(false);

  it('shows time, level, event and fields on one line', () => {
    const line =
      '{"level":"warn","time":"2026-11-22T03:10:00.123Z","run_id":"r1","error":"exit code 1","msg":"run.finished"}\n';
    expect(readable(line)).toBe('03:10:00.123Z WARN  run.finished run_id=r1 error="exit code 1"\n');
  });

  it('shows the stack of an error below its line', () => {
    const line = JSON.stringify({ level: 'error', msg: 'service.crashed', err: { stack: 'Error: x\n  at y' } });
    expect(readable(line)).toBe('ERROR service.crashed\n    Error: x\n      at y\n');
  });

  it('passes what is no JSON unchanged', () => {
    expect(readable('plain\n')).toBe('plain\n');
  });

  it('is what a pretty log writes, still without secrets', () => {
    const { log, lines } = recordedLog({ pretty: true, colour: false });
    log.info({ url: 'http://u:p@h/' }, 'listening');
    expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d\.\d{3}Z INFO {2}listening url=http:\/\/\*\*\*@h\/\n$/);
  });

  it('colours the level where the terminal shows colours', () => {
    expect(createReadableLine(true)('{"level":"error","msg":"m"}')).toContain('\u001b[31mERROR');
  });
});
