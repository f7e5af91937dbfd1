// Makes the calls that lie in the outbox, and again by the delivery schedule, until each is delivered or given up.
import type { Clock } from '../base/clock.ts';
import { createLoopService, type Service, sleepUnlessAborted } from '../base/service.ts';
import { createWakeUp } from '../base/wake-up.ts';
import type { Queryable } from '../db/database.ts';
import { decideDelivery } from '../domain/delivery-schedule.ts';
import type { StoredError } from '../domain/outcome.ts';
import type { EventBus } from '../observe/events.ts';
import { claimOutbox, nextOutboxMs, type OutboxCall } from '../queue/claim-outbox.ts';
import { dropFromOutbox, type OutboxOutcome, settleOutbox } from '../queue/settle-outbox.ts';
import { createAbortError } from '../steps/abort-reason.ts';
import { type AttemptResult, createObservedStep, type ObservedStep } from '../steps/observed-step.ts';
import type { RegisteredStep, Registry } from '../steps/registry.ts';
import type { Secrets } from '../store/secrets.ts';
import type { DeliveryServices } from './delivery-services.ts';
import { outboxInput } from './outbox-input.ts';

export interface OutboxDeliveryOptions {
  db: Queryable;
  clock: Clock;
  events: EventBus;
  registry: Registry;
  services: DeliveryServices;
  secrets: Secrets;
  /** 0…1, for jitter. */
  random: () => number;
}

export interface OutboxDelivery extends Service {
  /** A call was put in. */
  wake(): void;
}

/** Calls at once; each holds a connection to somebody else. */
const mostCalls = 20;
/** Milliseconds one call may take, whatever its own input says. */
const callTimeoutMs = 60_000;
/** Milliseconds until a call whose node died is due again: longer than a call can take. */
const leaseMs = 120_000;
/** Longest and shortest wait between two looks, in milliseconds: others' nodes look after their own calls at once. */
const longestWaitMs = 15_000;
const shortestWaitMs = 100;
/** Milliseconds that a stop waits for calls on their way: one that is cut short is made twice. */
const endWithinMs = 3_000;

export function createOutboxDelivery(options: OutboxDeliveryOptions): OutboxDelivery {
  const { db, clock, events, registry } = options;
  const observed = createObservedStep({ services: options.services, events, clock });
  const stepTypes = registry.list().map(({ id }) => id);
  const changed = createWakeUp();
  const running = new Set<Promise<void>>();
  let stopListening = () => {};
  let ending = new AbortController();

  async function deliver(call: OutboxCall, step: RegisteredStep): Promise<void> {
    const startedAt = clock.monotonic();
    const result = await attempt(call, step, ending.signal, observed, options.secrets);
    await options.services.discard(call.id);
    const outcome = outcomeOf(result, call, options.random());
    if (!(await settleOutbox(db, call, outcome))) return;
    const about = {
      id: call.id,
      tenant: call.tenant,
      ...(call.runId === null ? {} : { runId: call.runId }),
      pipeline: call.pipeline,
      step: call.step,
      stepType: call.stepType,
      attempts: call.attempts,
    };
    if (outcome.state === 'delivered') {
      events.emit('notification.delivered', { ...about, durationMs: Math.round(clock.monotonic() - startedAt) });
    } else if (outcome.state === 'failed') {
      events.emit('notification.failed', { ...about, error: describe(outcome.error) });
    } else if (outcome.state === 'pending') {
      events.emit('notification.retried', { ...about, delayMs: outcome.delayMs, error: describe(outcome.error) });
    }
  }

  async function begin(call: OutboxCall): Promise<void> {
    // One failed run in its minute was told of when it failed.
    if (call.sumOf !== null && call.sumOf < 2) return dropFromOutbox(db, call);
    const step = registry.get(call.stepType);
    if (step) await deliver(call, step);
  }

  function start(call: OutboxCall): void {
    const carried = begin(call)
      // The lease brings it back.
      .catch((error) => events.emit('service.crashed', { service: 'outbox', error: String(error) }))
      .finally(() => {
        running.delete(carried);
        if (running.size === mostCalls - 1) changed.wake();
      });
    running.add(carried);
  }

  async function waitMs(): Promise<number> {
    if (running.size >= mostCalls) return longestWaitMs;
    const nextMs = (await nextOutboxMs(db, stepTypes)) ?? longestWaitMs;
    return Math.min(Math.max(Math.ceil(nextMs), shortestWaitMs), longestWaitMs);
  }

  const loop = createLoopService({
    name: 'outbox',
    async loop(signal) {
      while (!signal.aborted) {
        const limit = mostCalls - running.size;
        const calls = limit > 0 ? await claimOutbox(db, { stepTypes, limit, leaseMs }) : [];
        for (const call of calls) start(call);
        if (calls.length < limit || limit === 0) await changed.wait(await waitMs(), signal);
      }
    },
    onCrash: (error) => events.emit('service.crashed', { service: 'outbox', error: String(error) }),
  });

  return {
    name: 'outbox',
    wake: () => changed.wake(),
    async start() {
      ending = new AbortController();
      stopListening();
      stopListening = events.on('notification.requeued', () => changed.wake());
      await loop.start();
    },
    async stop() {
      stopListening();
      await loop.stop();
      const ended = Promise.all(running);
      const over = new AbortController();
      void ended.then(() => over.abort());
      if (running.size > 0) await sleepUnlessAborted(endWithinMs, over.signal);
      ending.abort(createAbortError('shutdown'));
      await ended;
    },
  };
}

async function attempt(
  call: OutboxCall,
  step: RegisteredStep,
  signal: AbortSignal,
  observed: ObservedStep,
  secrets: Secrets,
): Promise<AttemptResult> {
  const input = await outboxInput(call, secrets);
  if (!input.ok) return { kind: 'failed', error: input.error };
  return observed.run(step, {
    // Notifications outlive the runs that they tell of.
    runId: call.runId ?? call.id,
    tenant: call.tenant,
    pipeline: call.pipeline,
    step: call.step,
    item: undefined,
    attempt: call.attempts,
    token: call.token,
    idempotencyKey: call.id,
    dryRun: false,
    input: input.value,
    env: {},
    traceparent: undefined,
    timeoutMs: callTimeoutMs,
    signal,
    secrets: input.secrets,
    delivery: { putAt: call.createdAt.toISOString() },
  });
}

function outcomeOf(result: AttemptResult, call: OutboxCall, random: number): OutboxOutcome {
  if (result.kind === 'completed') return { state: 'delivered' };
  if (result.kind === 'shutdown' || result.kind === 'cancelled' || result.kind === 'lease_lost')
    return { state: 'released' };
  const decision = decideDelivery(call.attempts, result.error, random);
  if (decision.kind === 'give_up') return { state: 'failed', error: result.error };
  return { state: 'pending', error: result.error, delayMs: decision.delayMs };
}

function describe(error: StoredError): string {
  return `${error.name}: ${error.message}`;
}
