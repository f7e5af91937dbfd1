// Traces: nothing without an SDK; with one, a trace a run and a child span an attempt.
import {
  type Context,
  context,
  type Link,
  type Span,
  type SpanContext,
  type SpanOptions,
  type SpanStatus,
  trace,
} from '@opentelemetry/api';
import { afterEach, describe, expect, it } from 'vitest';
import {
  activeTraceparent,
  formatTraceparent,
  parseTraceparent,
  startRunSpan,
  startStepSpan,
} from '../../../src/observe/trace.ts';

const header = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const run = { runId: 'r1', tenant: 'default', pipeline: 'repo-docs', origin: 'api', token: 3 };

afterEach(() => {
  trace.disable();
  context.disable();
});

describe('traceparent', () => {
  it('is read and written alike', () => {
    const parsed = parseTraceparent(header);
    expect(parsed).toEqual({
      traceId: '0af7651916cd43dd8448eb211c80319c',
      spanId: 'b7ad6b7169203331',
      traceFlags: 1,
      isRemote: true,
    });
    expect(parsed && formatTraceparent(parsed)).toBe(header);
  });

  it('keeps only the flag that is known', () => {
    expect(parseTraceparent(header.replace(/01$/, 'ff'))?.traceFlags).toBe(1);
    expect(parseTraceparent(header.replace(/01$/, '02'))?.traceFlags).toBe(0);
  });

  it('of a later version may have more fields', () => {
    expect(parseTraceparent(`01${header.slice(2)}-what-comes`)?.spanId).toBe('b7ad6b7169203331');
  });

  it.each([
    undefined,
    null,
    '',
    'nonsense',
    `${header}-more`,
    header.toUpperCase(),
    `ff${header.slice(2)}`,
    '00-00000000000000000000000000000000-b7ad6b7169203331-01',
    '00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01',
    header.slice(0, -1),
  ])('%j is none', (text) => {
    expect(parseTraceparent(text)).toBeUndefined();
  });

  it('is not written where there is no trace', () => {
    expect(formatTraceparent({ traceId: '0'.repeat(32), spanId: '0'.repeat(16), traceFlags: 0 })).toBeUndefined();
    expect(activeTraceparent()).toBeUndefined();
  });
});

describe('without an SDK', () => {
  it('spans do nothing, and what runs within them runs', () => {
    const runSpan = startRunSpan({ ...run, traceparent: header });
    const stepSpan = startStepSpan(runSpan, { step: 'fetch', stepType: 'git.checkout', attempt: 1 });
    expect(stepSpan.within(() => 42)).toBe(42);
    expect([runSpan.traceparent, stepSpan.traceparent]).toEqual([undefined, undefined]);
    stepSpan.end('success');
    runSpan.end('failure', { name: 'Error', message: 'm' });
  });
});

interface RecordedSpan {
  name: string;
  attributes: Record<string, unknown>;
  links: Link[];
  parent: SpanContext | undefined;
  spanContext: SpanContext;
  status: SpanStatus | undefined;
  ended: boolean;
}

/** An SDK as small as can be: it records what it is told. */
function recordSpans(): RecordedSpan[] {
  const spans: RecordedSpan[] = [];
  const startSpan = (name: string, options: SpanOptions = {}, parentContext?: Context): Span => {
    const parent = parentContext && trace.getSpanContext(parentContext);
    const number = String(spans.length + 1);
    const recorded: RecordedSpan = {
      name,
      attributes: { ...options.attributes },
      links: [...(options.links ?? [])],
      parent,
      spanContext: {
        traceId: parent?.traceId ?? number.padStart(32, 'a'),
        spanId: number.padStart(16, 'b'),
        traceFlags: 1,
      },
      status: undefined,
      ended: false,
    };
    spans.push(recorded);
    return recordingSpan(recorded);
  };
  trace.setGlobalTracerProvider({
    getTracer: () => ({
      startSpan,
      startActiveSpan: () => {
        throw new Error('not used');
      },
    }),
  });
  return spans;
}

function recordingSpan(recorded: RecordedSpan): Span {
  const span: Span = {
    spanContext: () => recorded.spanContext,
    setAttribute: (key, value) => {
      recorded.attributes[key] = value;
      return span;
    },
    setStatus: (status) => {
      recorded.status = status;
      return span;
    },
    end: () => {
      recorded.ended = true;
    },
    isRecording: () => !recorded.ended,
    setAttributes: () => span,
    addEvent: () => span,
    addLink: () => span,
    addLinks: () => span,
    updateName: () => span,
    recordException: () => {},
  };
  return span;
}

describe('with an SDK', () => {
  it('a run is a trace of its own, linked to who enqueued it', () => {
    const spans = recordSpans();
    const span = startRunSpan({ ...run, schedule: 'repo-docs.nightly', traceparent: header });
    span.end('success');
    expect(spans[0]).toMatchObject({
      name: 'RUN repo-docs',
      parent: undefined,
      ended: true,
      status: undefined,
      attributes: {
        'cicd.pipeline.name': 'repo-docs',
        'cicd.pipeline.run.id': 'r1',
        'cicd.pipeline.result': 'success',
        'cronwright.tenant': 'default',
        'cronwright.schedule': 'repo-docs.nightly',
      },
    });
    expect(spans[0]?.links.map((link) => formatTraceparent(link.context))).toEqual([header]);
  });

  it('an attempt of a step is a child of its run and can be passed on', () => {
    const spans = recordSpans();
    const runSpan = startRunSpan(run);
    const stepSpan = startStepSpan(runSpan, { step: 'fetch', stepType: 'git.checkout', attempt: 2, item: 0 });
    stepSpan.end('timeout', { name: 'TimeoutError', message: 'took longer than 10 m' });
    expect(spans[1]).toMatchObject({
      name: 'STEP fetch',
      parent: spans[0]?.spanContext,
      ended: true,
      status: { code: 2, message: 'took longer than 10 m' },
      attributes: {
        'cicd.pipeline.task.name': 'fetch',
        'cronwright.step_type': 'git.checkout',
        'cronwright.attempt': 2,
        'cronwright.item': 0,
        'cicd.pipeline.task.run.result': 'timeout',
        'error.type': 'TimeoutError',
      },
    });
    expect(stepSpan.traceparent).toBe(`00-${'1'.padStart(32, 'a')}-${'2'.padStart(16, 'b')}-01`);
  });

  it('a cancelled run is no error', () => {
    const spans = recordSpans();
    startRunSpan(run).end('cancellation');
    expect(spans[0]?.status).toBeUndefined();
  });

  it('an SDK that comes later is used from then on', () => {
    startRunSpan(run).end('success');
    const spans = recordSpans();
    startRunSpan(run).end('success');
    expect(spans).toHaveLength(1);
  });
});
