// Sends spans to a collector: loads the OpenTelemetry SDK, registers it, and undoes both. Without a URL nothing is loaded.
import { context, DiagLogLevel, diag, propagation, ROOT_CONTEXT, trace } from '@opentelemetry/api';
import type { EventBus } from './events.ts';
import { createIdGenerator } from './trace-ids.ts';

export interface TracingOptions {
  /** Where spans are posted, path included; absent: traces are off. */
  url?: string | undefined;
  /** `name=value,name=value`, values percent-encoded. */
  headers?: string | undefined;
  /** Share of traces that begin here, 0…1. */
  sample: number;
  /** Cronwright's own version. */
  version: string;
  nodeId: string;
  events: EventBus;
  clock: { monotonic(): number };
}

export interface Tracing {
  /** Sends what is left, for a few seconds at most, and turns traces off. Safe twice. */
  stop(): Promise<void>;
}

/** Spans that may wait, 10 to 20 MB; what comes beyond is dropped. */
const maxWaiting = 8_192;
const sendEveryMs = 1_000;
/** One request with its repetitions; also what a stop waits for at most. */
const sendWithinMs = 5_000;
const tellEveryMs = 60_000;

/** For the whole process: the API knows one SDK. */
export async function startTracing(options: TracingOptions): Promise<Tracing> {
  const { url } = options;
  if (url === undefined) return { stop: async () => {} };
  const [sdk, otlp, hooks, core, resources, names] = await Promise.all([
    import('@opentelemetry/sdk-trace'),
    import('@opentelemetry/exporter-trace-otlp-http'),
    import('@opentelemetry/context-async-hooks'),
    import('@opentelemetry/core'),
    import('@opentelemetry/resources'),
    import('@opentelemetry/semantic-conventions'),
  ]);
  const headers = core.parseKeyPairsIntoRecord(options.headers);
  const complain = createComplaints(options, url, Object.values(headers));
  core.setGlobalErrorHandler(complain);
  diag.setLogger(
    { error: complainOf(complain), warn: complainOf(complain), info() {}, debug() {}, verbose() {} },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  );
  const exporter = new otlp.OTLPTraceExporter({ url, headers, timeoutMillis: sendWithinMs });
  const provider = new sdk.TracerProvider({
    resource: resources.defaultResource().merge(
      resources.resourceFromAttributes({
        [names.ATTR_SERVICE_NAME]: 'cronwright',
        [names.ATTR_SERVICE_VERSION]: options.version,
        [names.ATTR_SERVICE_INSTANCE_ID]: options.nodeId,
      }),
    ),
    sampler: new sdk.ParentBasedSampler({ root: new sdk.TraceIdRatioBasedSampler(options.sample) }),
    idGenerator: createIdGenerator(new sdk.RandomIdGenerator()),
    spanProcessors: [
      new sdk.BatchSpanProcessor({ exporter, maxQueueSize: maxWaiting, scheduledDelayMillis: sendEveryMs }),
    ],
  });
  context.setGlobalContextManager(new hooks.AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new core.W3CTraceContextPropagator());
  trace.setGlobalTracerProvider(provider);

  let stopping: Promise<void> | undefined;
  return {
    stop() {
      stopping ??= shutDown(() => provider.shutdown(), complain);
      return stopping;
    },
  };
}

/** A collector that does not answer holds nobody up. */
async function shutDown(send: () => Promise<void>, complain: (error: unknown) => void): Promise<void> {
  trace.disable();
  let timer: NodeJS.Timeout | undefined;
  const timeUp = new Promise<void>((resolve) => {
    timer = setTimeout(() => {
      complain(`what was left could not be sent within ${sendWithinMs} ms`);
      resolve();
    }, sendWithinMs);
  });
  await Promise.race([send().catch(complain), timeUp]);
  clearTimeout(timer);
  context.disable();
  propagation.disable();
  diag.disable();
}

/** Says that spans get lost: at once the first time, then once a minute with a count of what was not told. */
function createComplaints(
  { events, clock }: TracingOptions,
  url: string,
  secrets: readonly string[],
): (problem: unknown) => void {
  const { origin, pathname } = new URL(url);
  let toldAt = Number.NEGATIVE_INFINITY;
  let untold = 0;
  return (problem) => {
    if (clock.monotonic() - toldAt < tellEveryMs) {
      untold += 1;
      return;
    }
    toldAt = clock.monotonic();
    const reason = secrets.reduce((text, secret) => text.replaceAll(secret, '***'), textOf(problem));
    const failure = { endpoint: origin + pathname, reason, untold };
    untold = 0;
    // The timer that sends was started within the span that came first.
    context.with(ROOT_CONTEXT, () => events.emit('tracing.failed', failure));
  };
}

/** The parts of one message. */
function complainOf(complain: (problem: unknown) => void): (...parts: unknown[]) => void {
  return (...parts) => complain(parts.map(textOf).join(' '));
}

const maxReason = 500;

function textOf(problem: unknown): string {
  // Two addresses of one host are two errors in one that says nothing itself.
  const errors = problem instanceof AggregateError ? problem.errors : [problem];
  const texts = errors.map((error: unknown) => {
    if (!(error instanceof Error)) return String(error);
    const { code } = error as { code?: unknown };
    return typeof code === 'number' ? `${code} ${error.message}` : error.message;
  });
  return texts.join('; ').slice(0, maxReason);
}
