// Looks through the sensors whose time has come, several at once. Every node has one; the claim of a look decides who looks.
import { createLoopService, type Service, sleepUnlessAborted } from '../base/service.ts';
import { createWakeUp } from '../base/wake-up.ts';
import { createEventBus } from '../observe/events.ts';
import { type DueSensor, findDueSensors, nextSensorMs } from '../queue/find-due-sensors.ts';
import { createAbortError } from '../steps/abort-reason.ts';
import { createObservedStep } from '../steps/observed-step.ts';
import type { Registry } from '../steps/registry.ts';
import { type LookDeps, lookOnce } from './look.ts';
import { createSensorServices, type SensorServicesOptions } from './sensor-services.ts';

export interface SensorWatchOptions extends Omit<LookDeps, 'observed'> {
  registry: Registry;
  /** Waited for before a look: another node may have put another configuration in force, the apply `seq`. */
  followConfig: (seq: number) => Promise<void>;
  host: SensorServicesOptions['host'];
  connection: SensorServicesOptions['connection'];
}

export interface SensorWatch extends Service {
  /** A sensor changed. */
  wake(): void;
}

/** Looks at once; most wait for somebody else. */
const mostLooks = 8;
/** Longest and shortest wait between two times this node asks which are due, in milliseconds. */
const longestWaitMs = 60_000;
const shortestWaitMs = 20;
/** The same while one is due whose look of before has not ended here: its end is told. */
const underWayWaitMs = 1_000;
/** Milliseconds that a stop waits for looks on their way. */
const endWithinMs = 2_000;

export function createSensorWatch(options: SensorWatchOptions): SensorWatch {
  const { db, events, registry } = options;
  const types = registry.sensors().map(({ id }) => id);
  const changed = createWakeUp();
  const running = new Map<string, Promise<void>>();
  const services = createSensorServices(options);
  // Attempts of steps are counted and told elsewhere: a look is none.
  const observed = createObservedStep({ services, events: createEventBus(), clock: options.clock });
  const deps: LookDeps = { ...options, observed };
  let ending = new AbortController();

  async function look(row: DueSensor): Promise<void> {
    const sensor = registry.sensor(row.definition.uses);
    if (!sensor) return;
    await lookOnce(row, sensor, ending.signal, deps, services.discard);
  }

  /** False where its look of before is under way. */
  function begin(row: DueSensor): boolean {
    const key = `${row.tenant}/${row.id}`;
    if (running.has(key)) return false;
    const looked = look(row)
      // The lease brings it back.
      .catch((error) => events.emit('service.crashed', { service: 'sensors', error: String(error) }))
      .finally(() => {
        running.delete(key);
        changed.wake();
      });
    running.set(key, looked);
    return true;
  }

  async function waitMs(leastMs: number): Promise<number> {
    if (running.size >= mostLooks) return longestWaitMs;
    const nextMs = (await nextSensorMs(db, types)) ?? longestWaitMs;
    return Math.min(Math.max(Math.ceil(nextMs), leastMs), longestWaitMs);
  }

  const loop = createLoopService({
    name: 'sensors',
    async loop(signal) {
      while (!signal.aborted) {
        const limit = mostLooks - running.size;
        const rows = limit > 0 ? await findDueSensors(db, { types, limit }) : [];
        if (rows.length > 0) await options.followConfig(rows[0]?.configSeq ?? 0);
        const begun = rows.filter(begin);
        const leastMs = begun.length < rows.length ? underWayWaitMs : shortestWaitMs;
        await changed.wait(await waitMs(leastMs), signal);
      }
    },
    onCrash: (error) => events.emit('service.crashed', { service: 'sensors', error: String(error) }),
  });

  return {
    name: 'sensors',
    wake: () => changed.wake(),
    async start() {
      ending = new AbortController();
      await services.sweep(options.clock.now());
      await loop.start();
    },
    async stop() {
      await loop.stop();
      const ended = Promise.all(running.values());
      const over = new AbortController();
      void ended.then(() => over.abort());
      if (running.size > 0) await sleepUnlessAborted(endWithinMs, over.signal);
      ending.abort(createAbortError('shutdown'));
      await ended;
    },
  };
}
