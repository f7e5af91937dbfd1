// What a person should hear of at once, as events of the live stream: named `alert.` and the event of the bus they come from.
import type { Clock } from '../../base/clock.ts';
import type { EventBus, Events } from '../../observe/events.ts';
import { type AlertFacts, alertEvent, type LiveEvent } from './live-event.ts';

/** Five minutes: from here on a clock is an alert (DESIGN §5). */
const alertingJumpMs = 300_000;

/** All names that alerts have. A dead letter's comes from the run's own history, whatever node wrote it. */
export const alertNames = [
  'alert.run.stuck',
  'alert.run.sla_missed',
  'alert.run.dead_lettered',
  'alert.run.rollback_failed',
  'alert.run.unservable',
  'alert.budget.near',
  'alert.budget.exceeded',
  'alert.schedule.broken',
  'alert.schedule.stalled',
  'alert.schedule.sla_missed',
  'alert.config.rejected',
  'alert.config.diverged',
  'alert.notification.failed',
  'alert.clock.jumped',
  'alert.clock.skewed',
] as const;

type AlertName = (typeof alertNames)[number];

/** Those of this node. Returns a function that ends the subscriptions. */
export function subscribeAlerts(options: {
  events: EventBus;
  clock: Clock;
  node: string;
  onAlert: (alert: LiveEvent) => void;
}): () => void {
  const { events, clock, node, onAlert } = options;
  const tell = (name: AlertName, facts: Omit<AlertFacts, 'name' | 'atMs' | 'node'>) =>
    onAlert(alertEvent({ ...facts, name, atMs: clock.now(), node }));
  const clockAlert = (name: AlertName, byMs: number) => {
    if (Math.abs(byMs) > alertingJumpMs) tell(name, { data: { by_ms: byMs } });
  };
  const ends = [
    events.on('run.stuck', ({ runId, tenant, pipeline, step, forMs }) =>
      tell('alert.run.stuck', { runId, tenant, pipeline, step, data: { for_ms: forMs } }),
    ),
    events.on('run.sla_missed', ({ runId, tenant, pipeline, schedule, ...missed }) =>
      tell('alert.run.sla_missed', { runId, tenant, pipeline, schedule, data: slaData(missed) }),
    ),
    events.on('schedule.sla_missed', ({ tenant, pipeline, schedule, ...missed }) =>
      tell('alert.schedule.sla_missed', { tenant, pipeline, schedule, data: slaData(missed) }),
    ),
    events.on('run.rollback_failed', ({ runId, tenant, pipeline, steps, error }) =>
      tell('alert.run.rollback_failed', { runId, tenant, pipeline, reason: error, data: { steps: [...steps] } }),
    ),
    events.on('budget.near', (facts) => tell('alert.budget.near', budgetFacts(facts))),
    events.on('budget.exceeded', ({ wantedUsd, action, ...facts }) =>
      tell('alert.budget.exceeded', budgetFacts(facts, { wanted_usd: wantedUsd, action })),
    ),
    events.on('schedule.broken', ({ schedule, tenant, error }) =>
      tell('alert.schedule.broken', { schedule, tenant, reason: error }),
    ),
    events.on('run.unservable', ({ tenant, pipeline, reason, queue, labels }) =>
      tell('alert.run.unservable', { tenant, pipeline, reason, data: { queue, labels } }),
    ),
    events.on('schedule.stalled', ({ schedule, tenant, dueAt, forMs }) =>
      tell('alert.schedule.stalled', {
        schedule,
        tenant,
        data: { due_at: new Date(dueAt).toISOString(), for_ms: forMs },
      }),
    ),
    events.on('config.diverged', ({ hashes, forMs }) =>
      tell('alert.config.diverged', { data: { hashes, for_ms: forMs } }),
    ),
    events.on('notification.failed', ({ runId, tenant, pipeline, step, stepType, attempts, error }) =>
      tell('alert.notification.failed', {
        runId,
        tenant,
        pipeline,
        step,
        reason: error,
        data: { uses: stepType, attempts },
      }),
    ),
    // The text is for the log: it quotes files, and they may hold what is nobody's business.
    events.on('config.rejected', ({ problems }) =>
      tell('alert.config.rejected', { reason: 'the log tells what is wrong', data: { problems } }),
    ),
    events.on('clock.jumped', ({ byMs }) => clockAlert('alert.clock.jumped', byMs)),
    events.on('clock.skewed', ({ byMs }) => clockAlert('alert.clock.skewed', byMs)),
  ];
  return () => {
    for (const end of ends) end();
  };
}

function budgetFacts({ runId, tenant, pipeline, step, ...sums }: Events['budget.near'], more: object = {}) {
  const { budget, limitUsd, spentUsd, heldUsd, unknownUsd } = sums;
  const used = { limit_usd: limitUsd, spent_usd: spentUsd, held_usd: heldUsd, unknown_usd: unknownUsd };
  return { runId, tenant, pipeline, step, data: { budget, ...used, ...more } };
}

function slaData(
  missed: Pick<Events['run.sla_missed'], 'kind' | 'dueAt' | 'nominalAt' | 'withinMs' | 'count'>,
): object {
  const { kind, nominalAt, withinMs, count } = missed;
  return {
    kind,
    due_at: new Date(missed.dueAt).toISOString(),
    nominal_at: nominalAt === undefined ? null : new Date(nominalAt).toISOString(),
    within_ms: withinMs,
    count,
  };
}

export function deadLetterAlert(facts: Omit<AlertFacts, 'name'>): LiveEvent {
  const name: AlertName = 'alert.run.dead_lettered';
  return alertEvent({ ...facts, name });
}
