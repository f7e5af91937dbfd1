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
import { noSpan, startEnqueueSpan, startRunSpan, startStepSpan } from '../../../src/observe/trace.ts';
import { claimIds } from '../../../src/observe/trace-ids.ts';
import { activeTraceparent, formatTraceparent, parseTraceparent } from '../../../src/observe/traceparent.ts';
import { withinTrace } from '../../../src/observe/tracer.ts';

const header = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const runId = '0199a3f0-7c1d-7abc-8def-0123456789ab';
const traceId = '0199a3f07c1d7abc8def0123456789ab';
const claim = { runId, tenant: 'default', pipeline: 'repo-docs', schedule: null, token: 1, attempt: 1 };
const record = { origin: 'api', traceparent: null, parentId: null };

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
    const runSpan = startRunSpan(claim, { ...record, traceparent: header });
    const stepSpan = startStepSpan(runSpan, { step: 'fetch', stepType: 'git.checkout', attempt: 1 });
    expect(stepSpan.within(() => 42)).toBe(42);
    expect([runSpan.traceparent, stepSpan.traceparent]).toEqual([undefined, undefined]);
    stepSpan.event('retry', {});
    stepSpan.end('success');
    runSpan.release('waiting', 'step_retry');
    runSpan.end('failure', { name: 'Error', message: 'm' });
    const enqueueing = startEnqueueSpan(3);
    expect([runSpan, stepSpan, enqueueing].every((span) => span === noSpan)).toBe(true);
    expect(withinTrace(header, () => activeTraceparent())).toBeUndefined();
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
    setAttributes: (attributes) => {
      Object.assign(recorded.attributes, attributes);
      return span;
    },
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
    const span = startRunSpan({ ...claim, schedule: 'repo-docs.nightly' }, { ...record, traceparent: header });
    span.end('success');
    expect(spans[0]).toMatchObject({
      name: 'RUN repo-docs',
      parent: undefined,
      ended: true,
      status: undefined,
      attributes: {
        'cicd.pipeline.name': 'repo-docs',
        'cicd.pipeline.run.id': runId,
        'cicd.pipeline.result': 'success',
        'cronwright.tenant': 'default',
        'cronwright.schedule': 'repo-docs.nightly',
      },
    });
    expect(spans[0]?.links.map((link) => formatTraceparent(link.context))).toEqual([header]);
  });

  it('an attempt of a step is a child of its run and can be passed on', () => {
    const spans = recordSpans();
    const runSpan = startRunSpan(claim, record);
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

  it('a later claim is linked to those before, a retried run to the one it retries', () => {
    const spans = recordSpans();
    const parentId = '0199a3f0-0000-7abc-8def-0123456789ab';
    for (const token of [1, 2, 5]) startRunSpan({ ...claim, token }, { ...record, parentId }).end('success');
    const linked = spans.map(({ links }) =>
      links.map(({ context, attributes }) => [attributes?.['cronwright.link'], context.traceId, context.spanId]),
    );
    const earlier = (token: number) => ['earlier_claim', traceId, claimIds(runId, token).spanId];
    const parent = ['parent_run', '0199a3f000007abc8def0123456789ab', claimIds(parentId, 1).spanId];
    expect(linked).toEqual([[parent], [earlier(1), parent], [earlier(4), earlier(3), parent]]);
  });

  it('a claim that has not ended its run says where the run went and why, and has no result', () => {
    const spans = recordSpans();
    const span = startRunSpan(claim, record);
    span.release('waiting', 'step_retry');
    span.end('error');
    expect(spans[0]).toMatchObject({ ended: true, status: undefined });
    expect(spans[0]?.attributes).toMatchObject({
      'cronwright.released_to': 'waiting',
      'cronwright.reason': 'step_retry',
    });
    expect(spans[0]?.attributes).not.toHaveProperty('cicd.pipeline.result');
  });

  it('a cancelled run is no error', () => {
    const spans = recordSpans();
    startRunSpan(claim, record).end('cancellation');
    expect(spans[0]?.status).toBeUndefined();
  });

  it('an SDK that comes later is used from then on', () => {
    startRunSpan(claim, record).end('success');
    const spans = recordSpans();
    startRunSpan(claim, record).end('success');
    expect(spans).toHaveLength(1);
  });
});
