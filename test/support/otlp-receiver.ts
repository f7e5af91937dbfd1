// A collector for a test: takes spans by OTLP over HTTP as JSON and keeps them.
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export interface ReceivedSpan {
  name: string;
  traceId: string;
  spanId: string;
  /** Empty: a root. */
  parentSpanId: string;
  /** 1 internal, 2 server, 3 client, 4 producer, 5 consumer. */
  kind: number;
  attributes: Readonly<Record<string, unknown>>;
  links: readonly { traceId: string; spanId: string; attributes: Readonly<Record<string, unknown>> }[];
  events: readonly { name: string; attributes: Readonly<Record<string, unknown>> }[];
  /** `code`: 0 unset, 2 error. */
  status: { code: number; message?: string };
  resource: Readonly<Record<string, unknown>>;
}

export interface OtlpReceiver {
  /** Base URL, as a setting names it. */
  readonly url: string;
  readonly spans: readonly ReceivedSpan[];
  readonly requests: readonly { path: string; headers: IncomingHttpHeaders }[];
  /** All spans that fit, once there are `count` of them. */
  received(what: string, fits: (span: ReceivedSpan) => boolean, count?: number): Promise<ReceivedSpan[]>;
  close(): Promise<void>;
}

export async function startOtlpReceiver(): Promise<OtlpReceiver> {
  const spans: ReceivedSpan[] = [];
  const requests: { path: string; headers: IncomingHttpHeaders }[] = [];
  const server = createServer(async (request, response) => {
    requests.push({ path: request.url ?? '', headers: request.headers });
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    spans.push(...spansOf(JSON.parse(Buffer.concat(chunks).toString())));
    response.setHeader('content-type', 'application/json').end('{}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    requests,
    async received(what, fits, count = 1) {
      for (const until = performance.now() + 20_000; ; await sleep(50)) {
        const found = spans.filter(fits);
        if (found.length >= count) return found;
        if (performance.now() < until) continue;
        const names = spans.map(({ name, attributes }) => `${name} ${JSON.stringify(attributes)}`);
        throw new Error(`not received: ${count} × ${what}; received:\n${names.join('\n')}`);
      }
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

interface Attribute {
  key: string;
  value: Record<string, unknown>;
}
interface WireSpan {
  name: string;
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  kind: number;
  attributes?: Attribute[];
  links?: { traceId: string; spanId: string; attributes?: Attribute[] }[];
  events?: { name: string; attributes?: Attribute[] }[];
  status: ReceivedSpan['status'];
}
interface ExportRequest {
  resourceSpans: { resource: { attributes: Attribute[] }; scopeSpans: { spans: WireSpan[] }[] }[];
}

function spansOf({ resourceSpans }: ExportRequest): ReceivedSpan[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap((scope) => scope.spans.map((span) => readSpan(span, valuesOf(resource.attributes)))),
  );
}

function readSpan(span: WireSpan, resource: ReceivedSpan['resource']): ReceivedSpan {
  const { name, traceId, spanId, parentSpanId = '', kind, status } = span;
  const attributes = valuesOf(span.attributes);
  const links = (span.links ?? []).map((link) => ({ ...link, attributes: valuesOf(link.attributes) }));
  const events = (span.events ?? []).map((event) => ({ ...event, attributes: valuesOf(event.attributes) }));
  return { name, traceId, spanId, parentSpanId, kind, attributes, links, events, status, resource };
}

/** `{stringValue: 'x'}` is 'x'; 64-bit integers may come as texts. */
function valuesOf(attributes: readonly Attribute[] = []): Record<string, unknown> {
  return Object.fromEntries(
    attributes.map(({ key, value }) => {
      const [kind, content] = Object.entries(value)[0] ?? [];
      return [key, kind === 'intValue' ? Number(content) : content];
    }),
  );
}
