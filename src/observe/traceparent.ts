// The W3C traceparent, read and written: how a trace travels in headers, in environments and in a run's row.
import { isSpanContextValid, type SpanContext, TraceFlags, trace } from '@opentelemetry/api';

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
