// Writes events into the log: one line an event worth a line, its name as the message.
import type { EventBus, EventName, Events } from './events.ts';
import type { LogFields, Logger, LogLevel } from './log.ts';

type Level = LogLevel | 'none';
type Levels = { readonly [Name in EventName]: Level | ((payload: Events[Name]) => Level) };

/** Five minutes: from here on a clock is an alert (DESIGN §5). */
const alertingJumpMs = 300_000;

/** Every event has its level here, so that a new one cannot be forgotten. Durations and counts of the `none` ones are metrics. */
const levels: Levels = {
  'run.enqueued': 'debug',
  'run.claimed': 'debug',
  'run.finished': ({ result }) =>
    result === 'failure' || result === 'timeout' || result === 'error' ? 'warn' : 'info',
  'run.released': ({ state }) => (state === 'pending' ? 'info' : 'debug'),
  'run.rescued': ({ deadLetter }) => (deadLetter ? 'error' : 'warn'),
  'run.stuck': 'warn',
  'run.sla_missed': 'warn',
  'run.unservable': 'error',
  'runs.aged': 'info',
  'rate_limit.closed': 'warn',
  'version.refused': 'warn',
  'run.rollback_failed': 'error',
  'run.paused': 'info',
  'run.resumed': 'info',
  'run.prioritized': 'info',
  'pipeline.paused': 'info',
  'pipeline.resumed': 'info',
  'pauses.settled': 'debug',
  'run.lease_lost': 'warn',
  'step.started': 'debug',
  'step.finished': ({ result }) => (result === 'failure' || result === 'timeout' ? 'info' : 'debug'),
  'step.retried': 'warn',
  'step.compensation_finished': ({ result }) => (result === 'success' ? 'info' : 'warn'),
  'wait.opened': ({ kind }) => (kind === 'timer' ? 'debug' : 'info'),
  'wait.answered': 'info',
  'wait.timed_out': 'warn',
  'llm.called': 'debug',
  'llm.unpriced': 'warn',
  'cost.spent': 'debug',
  'budget.near': 'warn',
  'budget.exceeded': 'warn',
  'costs.lost': 'warn',
  'schedule.due': 'debug',
  'schedule.skipped': 'info',
  'schedule.broken': 'error',
  'schedule.stalled': 'error',
  'schedule.sla_missed': 'warn',
  'schedules.watched': 'none',
  'schedule.next': 'none',
  'sensor.checked': ({ runs }) => (runs > 0 ? 'info' : 'debug'),
  'sensor.failed': 'warn',
  'sensor.paused': 'info',
  'sensor.resumed': 'info',
  'sensor.said': ({ level }) => level,
  'scheduler.ticked': 'none',
  'clock.jumped': ({ byMs }) => (Math.abs(byMs) > alertingJumpMs ? 'error' : 'warn'),
  'clock.skewed': ({ byMs }) => (Math.abs(byMs) > alertingJumpMs ? 'error' : 'warn'),
  'disk.full': 'error',
  'disk.recovered': 'info',
  'config.applied': 'info',
  'config.rejected': 'error',
  'config.adopted': 'info',
  'config.diverged': 'error',
  'config.converged': 'info',
  'hints.listening': 'debug',
  'hints.lost': 'warn',
  'hints.unsent': 'warn',
  'notification.delivered': 'info',
  'notification.retried': 'warn',
  'notification.failed': 'error',
  'notification.requeued': 'info',
  'node.started': 'info',
  'node.stopping': 'info',
  'nodes.counted': 'none',
  'service.crashed': 'error',
  'db.query': 'none',
  'db.retry': 'warn',
  'db.connection_lost': 'warn',
  'db.lock_taken_over': 'warn',
  'db.initialised': 'info',
  'db.upkeep': 'debug',
  'db.upkeep_failed': 'warn',
  'history.written': 'none',
  'live.connected': 'debug',
  'live.ended': ({ reason }) => (reason === 'left' || reason === 'shutdown' ? 'debug' : 'warn'),
  'live.published': 'none',
  'tracing.failed': 'warn',
  'http.served': ({ status }) => (status >= 500 ? 'warn' : 'debug'),
};

/** Returns a function that ends all subscriptions. Events whose level the log drops anyway are not subscribed to. */
export function subscribeLog(events: EventBus, log: Logger): () => void {
  const ends = (Object.keys(levels) as EventName[]).flatMap((name) => subscribe(events, log, name));
  return () => {
    for (const end of ends) end();
  };
}

function subscribe<Name extends EventName>(events: EventBus, log: Logger, name: Name): (() => void)[] {
  const level: Level | ((payload: Events[Name]) => Level) = levels[name];
  if (typeof level !== 'function') {
    if (level === 'none' || !log.isLevelEnabled(level)) return [];
    return [events.on(name, (payload) => log[level](toFields(payload), name))];
  }
  return [
    events.on(name, (payload) => {
      const chosen = level(payload);
      if (chosen !== 'none' && log.isLevelEnabled(chosen)) log[chosen](toFields(payload), name);
    }),
  ];
}

const fieldNames = new Map<string, string>();

/** `runId` becomes `run_id`; instants (`nominalAt`) become ISO 8601 in UTC. */
function toFields(payload: object): LogFields {
  const fields: Record<string, unknown> = {};
  for (const key in payload) {
    const value = payload[key as keyof typeof payload] as unknown;
    fields[fieldName(key)] = key.endsWith('At') && typeof value === 'number' ? new Date(value).toISOString() : value;
  }
  return fields;
}

function fieldName(key: string): string {
  let name = fieldNames.get(key);
  if (name === undefined) {
    name = key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    fieldNames.set(key, name);
  }
  return name;
}
