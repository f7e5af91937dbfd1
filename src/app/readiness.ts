// Whether this node can do its work: the database answers, schedules are looked at, leases are kept alive, files can be written.
import { type Database, statement } from '../db/database.ts';
import { errorMessage } from '../domain/errors.ts';
import type { Readiness } from '../http/http-context.ts';
import type { EventBus } from '../observe/events.ts';
import type { Engine } from './engine.ts';

const ping = statement('ready_ping', 'select 1', { timeoutMs: 2_000 });
/** The scheduler looks at least every 60 s. */
const longestTickMs = 90_000;

export function createReadiness(options: {
  db: Database;
  events: EventBus;
  engine: Engine;
  leaseMs: number;
  /** What is wrong with the data directory; undefined: nothing. */
  diskProblem: () => string | undefined;
}): {
  check(): Promise<Readiness>;
  close(): void;
} {
  const { db, engine } = options;
  let lastTick = engine.clock.monotonic();
  const close = options.events.on('scheduler.ticked', () => {
    lastTick = engine.clock.monotonic();
  });

  async function checkDatabase(): Promise<{ ok: boolean; detail?: string }> {
    try {
      await db.query(ping);
      return { ok: true };
    } catch (error) {
      return { ok: false, detail: errorMessage(error) };
    }
  }

  return {
    close,
    async check() {
      const sinceTickMs = engine.clock.monotonic() - lastTick;
      const sinceBeatMs = engine.sinceLastBeatMs();
      const diskProblem = options.diskProblem();
      const checks = {
        disk: verdict(diskProblem === undefined, `the data directory cannot be written: ${diskProblem}`),
        database: await checkDatabase(),
        scheduler: verdict(sinceTickMs < longestTickMs, `has not looked at schedules for ${seconds(sinceTickMs)}`),
        workers: verdict(sinceBeatMs < options.leaseMs, `the last heartbeat was ${seconds(sinceBeatMs)} ago`),
      };
      return { ready: Object.values(checks).every((check) => check.ok), checks };
    },
  };
}

function verdict(ok: boolean, detail: string): { ok: boolean; detail?: string } {
  return ok ? { ok } : { ok, detail };
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1_000)} s`;
}
