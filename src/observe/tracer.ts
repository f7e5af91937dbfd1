// Whether spans are made, and which trace the code that runs now belongs to.
import { context, ProxyTracerProvider, ROOT_CONTEXT, type Tracer, trace } from '@opentelemetry/api';
import { parseTraceparent } from './traceparent.ts';

/** The SDK's tracer; undefined where none is registered: the API's own no-op spans cost microseconds. */
export function registeredTracer(): Tracer | undefined {
  const provider = trace.getTracerProvider();
  return provider instanceof ProxyTracerProvider
    ? provider.getDelegateTracer('cronwright')
    : provider.getTracer('cronwright');
}

/** Runs `work` as part of the span that `traceparent` names: the log lines inside carry its ids. */
export function withinTrace<T>(traceparent: string | null, work: () => T): T {
  const spanContext = registeredTracer() && parseTraceparent(traceparent);
  return spanContext ? context.with(trace.setSpanContext(ROOT_CONTEXT, spanContext), work) : work();
}

/** Runs `work` as part of no span: what it begins for everyone must not pass for a part of the one who was first. */
export function outsideTraces<T>(work: () => T): T {
  return context.with(ROOT_CONTEXT, work);
}
