// The spans: one a claim of a run, one a step attempt, one a batch of due schedules. Without an SDK all of it does nothing.
import {
  type Attributes,
  type Context,
  context,
  type Link,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  trace,
} from '@opentelemetry/api';
import { claimIds, withIds } from './trace-ids.ts';
import { formatTraceparent, parseTraceparent } from './traceparent.ts';
import { registeredTracer } from './tracer.ts';

/** A span that is open: pass it down, run code within it, end it once. */
export interface OpenSpan {
  /** W3C traceparent of this span, for calls to others; undefined where traces are off. */
  readonly traceparent: string | undefined;
  /** Runs `work` as part of the span: log lines and spans begun inside belong to it. */
  within<T>(work: () => T): T;
  /** Something that happened at one moment of it. */
  event(name: string, attributes: Attributes): void;
  /** `result` is the word of the metrics: success, failure, timeout, cancellation, skip, error. A second end does nothing. */
  end(result: string, error?: { name: string; message: string }): void;
}

export interface RunSpan extends OpenSpan {
  /** What the spans of the run's steps are children of. */
  readonly context: Context;
  /** Ends the span of a run that has not ended: it goes on in another claim, or elsewhere. */
  release(state: string, reason: string): void;
}

/** One claim of a run. */
export interface SpannedClaim {
  /** A UUID: the id of the trace. */
  readonly runId: string;
  readonly tenant: string;
  readonly pipeline: string;
  readonly schedule: string | null;
  /** Which claim of the run this is: the fencing token. */
  readonly token: number;
  /** Which run-level attempt. */
  readonly attempt: number;
}

/** Where the run comes from. */
export interface SpannedRun {
  readonly origin: string;
  /** As kept in the run's row: the span links to who enqueued it. */
  readonly traceparent: string | null;
  /** The run that this one retries or belongs to. */
  readonly parentId: string | null;
}

export interface StepSpanOptions {
  step: string;
  stepType: string;
  attempt: number;
  item?: number | undefined;
}

/**
 * Opens the span `RUN {pipeline}` of one claim. All claims of a run are one trace, which is linked to the span that enqueued
 * the run; the sampler sees the same trace id in each of them and so decides alike.
 */
export function startRunSpan(claim: SpannedClaim, run: SpannedRun): RunSpan {
  const tracer = registeredTracer();
  if (!tracer) return noSpan;
  const attributes: Attributes = {
    'cicd.pipeline.action.name': 'RUN',
    'cicd.pipeline.name': claim.pipeline,
    'cicd.pipeline.run.id': claim.runId,
    'cronwright.tenant': claim.tenant,
    'cronwright.origin': run.origin,
    'cronwright.token': claim.token,
    'cronwright.attempt': claim.attempt,
  };
  if (claim.schedule !== null) attributes['cronwright.schedule'] = claim.schedule;
  const options = { kind: SpanKind.SERVER, attributes, links: linksOf(claim, run) };
  const span = withIds(claimIds(claim.runId, claim.token), () =>
    tracer.startSpan(`RUN ${claim.pipeline}`, options, ROOT_CONTEXT),
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

/** Opens the span under which due schedules become runs. */
export function startEnqueueSpan(runs: number): OpenSpan {
  const tracer = registeredTracer();
  if (!tracer) return noSpan;
  const span = tracer.startSpan(
    'ENQUEUE due schedules',
    { kind: SpanKind.PRODUCER, attributes: { 'cronwright.runs': runs } },
    ROOT_CONTEXT,
  );
  return open(span, ROOT_CONTEXT, 'cronwright.result');
}

/** Where no SDK is registered: one object for all, as there are tens of thousands a second. */
export const noSpan: RunSpan = {
  context: ROOT_CONTEXT,
  traceparent: undefined,
  within: (work) => work(),
  event() {},
  end() {},
  release() {},
};

/**
 * Nothing is stored for a link: the ids follow from the run's. The claim before has the token before, or the one before that
 * where a rescue, which raises the token too, stood between.
 */
function linksOf({ runId, token }: SpannedClaim, { traceparent, parentId }: SpannedRun): Link[] {
  const links: Link[] = [];
  const enqueuedBy = parseTraceparent(traceparent);
  if (enqueuedBy) links.push({ context: enqueuedBy, attributes: { 'cronwright.link': 'enqueued_by' } });
  for (const earlier of [token - 1, token - 2]) {
    if (earlier > 0) links.push(linkToClaim(runId, earlier, 'earlier_claim'));
  }
  if (parentId) links.push(linkToClaim(parentId, 1, 'parent_run'));
  return links;
}

function linkToClaim(runId: string, token: number, what: string): Link {
  const context = { ...claimIds(runId, token), traceFlags: TraceFlags.SAMPLED, isRemote: true };
  return { context, attributes: { 'cronwright.link': what } };
}

/** Results that are not errors: a cancelled run did what it was told. */
const fineResults = new Set(['success', 'skip', 'cancellation']);
const maxMessage = 1_000;

function open(span: Span, parent: Context, resultAttribute: string): RunSpan {
  const spanContext = trace.setSpan(parent, span);
  let isEnded = false;
  const endWith = (attributes: Attributes): void => {
    if (isEnded) return;
    isEnded = true;
    span.setAttributes(attributes);
    span.end();
  };
  return {
    context: spanContext,
    traceparent: formatTraceparent(span.spanContext()),
    within: (work) => context.with(spanContext, work),
    event: (name, attributes) => void span.addEvent(name, attributes),
    end(result, error) {
      const isError = !fineResults.has(result);
      if (isError && !isEnded) {
        const message = error?.message.slice(0, maxMessage);
        span.setStatus({ code: SpanStatusCode.ERROR, ...(message === undefined ? {} : { message }) });
      }
      const reason = error && { [isError ? 'error.type' : 'cronwright.reason']: error.name };
      endWith({ [resultAttribute]: result, ...reason });
    },
    release: (state, reason) => endWith({ 'cronwright.released_to': state, 'cronwright.reason': reason }),
  };
}
