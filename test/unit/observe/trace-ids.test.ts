// A run's trace id is the run's id; the spans of its claims are known without asking; the sampler decides alike for all of them.
import { ROOT_CONTEXT, SpanKind } from '@opentelemetry/api';
import {
  InMemorySpanExporter,
  RandomIdGenerator,
  SamplingDecision,
  SimpleSpanProcessor,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import { uuidv7 } from 'uuidv7';
import { describe, expect, it } from 'vitest';
import { claimIds, createIdGenerator, withIds } from '../../../src/observe/trace-ids.ts';

const runId = '0199a3f0-7c1d-7abc-8def-0123456789ab';

describe("a claim's ids", () => {
  it('are the run as a trace, and a span that is the same wherever it is asked for', () => {
    expect(claimIds(runId, 1)).toEqual({ traceId: '0199a3f07c1d7abc8def0123456789ab', spanId: expect.any(String) });
    expect(claimIds(runId, 1).spanId).toMatch(/^[0-9a-f]{16}$/);
    expect(claimIds(runId, 1)).toEqual(claimIds(runId, 1));
    expect(claimIds(runId, 2).spanId).not.toBe(claimIds(runId, 1).spanId);
  });

  it('go to the span they are given to, and to no other', () => {
    const exporter = new InMemorySpanExporter();
    const provider = new TracerProvider({
      idGenerator: createIdGenerator(new RandomIdGenerator()),
      spanProcessors: [new SimpleSpanProcessor({ exporter })],
    });
    const tracer = provider.getTracer('test');
    const start = () => tracer.startSpan('span', { kind: SpanKind.SERVER }, ROOT_CONTEXT);
    withIds(claimIds(runId, 1), start).end();
    start().end();
    expect(() =>
      withIds(claimIds(runId, 2), () => {
        throw new Error('no span');
      }),
    ).toThrow('no span');
    start().end();
    const [own, ...others] = exporter.getFinishedSpans().map((span) => span.spanContext());
    expect(own).toMatchObject(claimIds(runId, 1));
    expect(others).toHaveLength(2);
    for (const { traceId } of others) expect(traceId).not.toBe(claimIds(runId, 1).traceId);
  });
});

describe('the sampler', () => {
  it('sees ids of version 7 as evenly spread, although they begin with the time', () => {
    const sampler = new TraceIdRatioBasedSampler(0.25);
    const ids = Array.from({ length: 4_000 }, () => claimIds(uuidv7(), 1).traceId);
    const isTaken = (id: string) =>
      sampler.shouldSample(ROOT_CONTEXT, id).decision === SamplingDecision.RECORD_AND_SAMPLED;
    const taken = ids.filter(isTaken).length;
    expect(taken).toBeGreaterThan(850);
    expect(taken).toBeLessThan(1_150);
    expect(ids.filter(isTaken)).toHaveLength(taken);
  });
});
