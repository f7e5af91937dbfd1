// One server span a request of the API, named by its route; what is enqueued inside is linked to it.
import type { IncomingMessage } from 'node:http';
import { context, propagation, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { registeredTracer } from '../observe/tracer.ts';

/** `serve` answers faults too, and does not throw. Where traces are off nothing is added. */
export function traceRequest(
  incoming: IncomingMessage,
  route: string,
  serve: () => Promise<Response>,
): Promise<Response> {
  const tracer = registeredTracer();
  if (!tracer) return serve();
  const parent = propagation.extract(ROOT_CONTEXT, incoming.headers);
  const method = incoming.method ?? 'GET';
  const attributes = {
    'http.request.method': method,
    'http.route': route,
    // Without the query: it may hold what is nobody's business.
    'url.path': (incoming.url ?? '').split('?', 1)[0] ?? '',
    'url.scheme': 'http',
  };
  const span = tracer.startSpan(`${method} ${route}`, { kind: SpanKind.SERVER, attributes }, parent);
  return context.with(trace.setSpan(parent, span), async () => {
    const response = await serve();
    span.setAttribute('http.response.status_code', response.status);
    if (response.status >= 500) {
      span.setAttribute('error.type', String(response.status));
      span.setStatus({ code: SpanStatusCode.ERROR });
    }
    span.end();
    return response;
  });
}
