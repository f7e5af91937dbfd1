// The hooks for traces: one span a run, one a step attempt. Without an SDK all of it does nothing.
import {
  type Attributes,
  type Context,
  context,
  isSpanContextValid,
  ProxyTracerProvider,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  type Tracer,
  trace,
} from '@opentelemetry/api';

/** A span that is open: pass it down, run code within it, end it once. */
export interface OpenSpan {
  /** W3C traceparent of this span, for calls to others; undefined where traces are off. */
  readonly traceparent: string | undefined;
  /** Runs `work` as part of the span: log lines and spans begun inside belong to it. */
  within<T>(work: () => T): T;
  /** `result` is the word of the metrics: success, failure, timeout, cancellation, skip, error. */
  end(result: string, error?: { name: string; message: string }): void;
}

export interface RunSpanOptions {
  runId: string;
  tenant: string;
  pipeline: string;
  origin: string;
  schedule?: string | null;
  /** Which claim of the run this is: the fencing token. */
  token: number;
  /** As kept in the run's row: the span links to who enqueued it. */
  traceparent?: string | null;
}

export interface StepSpanOptions {
  step: string;
  stepType: string;
  attempt: number;
  item?: number;
}

export interface RunSpan extends OpenSpan {
  /** What the spans of the run's steps are children of. */
  readonly context: Context;
}

/** Opens the span `RUN {pipeline}`: a trace of its own, linked to the one that enqueued the run. */
export function startRunSpan(options: RunSpanOptions): RunSpan {
  const tracer = registeredTracer();
  if (!tracer) return noSpan;
  const enqueuedBy = parseTraceparent(options.traceparent);
  const attributes: Attributes = {
    'cicd.pipeline.name': options.pipeline,
    'cicd.pipeline.run.id': options.runId,
    'cronwright.tenant': options.tenant,
    'cronwright.origin': options.origin,
    'cronwright.token': options.token,
  };
  if (options.schedule) attributes['cronwright.schedule'] = options.schedule;
  const span = tracer.startSpan(
    `RUN ${options.pipeline}`,
    { kind: SpanKind.CONSUMER, attributes, links: enqueuedBy ? [{ context: enqueuedBy }] : [] },
    ROOT_CONTEXT,
  );
  return open(span, ROOT_CONTEXT, 'cicd.pipeline.result');
}

/** Opens the span of one attempt of a step, as a child of its run's span. */
export function startStepSpan(run: RunSpan, options: StepSpanOptions): OpenSpan {
  const tracer = run === noSpan ? undefined : registeredTracer();
  if (!tracer) return noSpan;
  const attributes: Attributes = {
    'cicd.pipeline.task.name': options.step,
    'cronwright.step_type': options.stepType,
    'cronwright.attempt': options.attempt,
  };
  if (options.item !== undefined) attributes['cronwright.item'] = options.item;
  const span = tracer.startSpan(`STEP ${options.step}`, { kind: SpanKind.INTERNAL, attributes }, run.context);
  return open(span, run.context, 'cicd.pipeline.task.run.result');
}

/** The traceparent of the span that is active now: what enqueue keeps in the run's row. */
export function activeTraceparent(): string | undefined {
  const span = trace.getActiveSpan();
  return span && formatTraceparent(span.spanContext());
}

/**
 * Reads a W3C traceparent (https://www.w3.org/TR/trace-context/#traceparent-header). Undefined where it is absent or wrong:
 * a caller's broken header must not stop a run.
 */
export function parseTraceparent(text: string | null | undefined): SpanContext | undefined {
  const match = text ? traceparentPattern.exec(text.trim()) : null;
  const [, version, traceId, spanId, flags, rest] = match ?? [];
  if (!traceId || !spanId || !flags || version === 'ff' || (version === '00' && rest)) return undefined;
  const parsed = { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & TraceFlags.SAMPLED, isRemote: true };
  return isSpanContextValid(parsed) ? parsed : undefined;
}

/** Writes a W3C traceparent; undefined where there is no trace. */
export function formatTraceparent(spanContext: SpanContext): string | undefined {
  if (!isSpanContextValid(spanContext)) return undefined;
  const flags = (spanContext.traceFlags & TraceFlags.SAMPLED).toString(16).padStart(2, '0');
  return `00-${spanContext.traceId}-${spanContext.spanId}-${flags}`;
}

/** Versions above 00 may append fields; those of 00 may not. */
const traceparentPattern = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** Results that are not errors: a cancelled run did what it was told. */
const fineResults = new Set(['success', 'skip', 'cancellation']);

/** Where no SDK is registered: the API's own no-op spans cost microseconds, and there are tens of thousands a second. */
const noSpan: RunSpan = {
  context: ROOT_CONTEXT,
  traceparent: undefined,
  within: (work) => work(),
  end() {},
};

/** The SDK's tracer; undefined where none is registered (yet). */
function registeredTracer(): Tracer | undefined {
  const provider = trace.getTracerProvider();
  return provider instanceof ProxyTracerProvider
    ? provider.getDelegateTracer('cronwright')
    : provider.getTracer('cronwright');
}

function open(span: Span, parent: Context, resultAttribute: string): RunSpan {
  const spanContext = trace.setSpan(parent, span);
  return {
    context: spanContext,
    get traceparent() {
      return formatTraceparent(span.spanContext());
    },
    within: (work) => context.with(spanContext, work),
    end(result, error) {
      if (span.isRecording()) {
        span.setAttribute(resultAttribute, result);
        if (error) span.setAttribute('error.type', error.name);
        if (!fineResults.has(result)) {
          span.setStatus({ code: SpanStatusCode.ERROR, ...(error && { message: error.message }) });
        }
      }
      span.end();
    },
  };
}
