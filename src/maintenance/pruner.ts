// Removes what nobody needs any more: old history, workspaces of ended runs, old idempotency keys, nodes long gone.
import { existsSync } from 'node:fs';
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { createLoopService, type Service, sleepUnlessAborted } from '../base/service.ts';
import { type Database, statement } from '../db/database.ts';
import type { EventBus } from '../observe/events.ts';
import type { ArtifactFiles } from '../store/artifact-files.ts';
import { pruneCosts } from '../store/costs.ts';
import { pruneLlmResponses } from '../store/llm-responses.ts';
import { pruneArtifactFiles } from '../store/prune-artifact-files.ts';
import { type PruneRule, pruneHistory } from '../store/prune-history.ts';
import { pruneOutbox } from '../store/prune-outbox.ts';
import { pruneStepCache } from '../store/step-cache.ts';

export interface PrunerOptions {
  db: Database;
  clock: Clock;
  events: EventBus;
  /** Where large artifacts are, if anywhere. */
  artifactFiles: ArtifactFiles | undefined;
  /** Folder of the runs' workspaces. */
  workspaces: string;
  /** `costsMs`: how long the ledger is kept. */
  rule: PruneRule & { costsMs: number };
  everyMs: number;
  /** How long the files of a run that did not complete are kept for a retry, in milliseconds. */
  keepWorkspacesMs: number;
}

const forgetKeys = statement(
  'prune_idempotency_keys',
  `delete from cronwright.idempotency_keys where created_at < now() - interval '24 hours'`,
  { idempotent: true },
);

const forgetNodes = statement(
  'prune_nodes',
  `delete from cronwright.nodes n where n.beat_at < now() - interval '7 days'
    and not exists (select 1 from cronwright.queue q where q.node = n.id and q.state = 'running')`,
  { idempotent: true },
);

// What is in force stays, however old.
const forgetApplies = statement(
  'prune_config_applies',
  `delete from cronwright.config_applies
  where at < now() - interval '90 days' and seq < (select max(seq) from cronwright.config_applies)`,
  { idempotent: true },
);

const forgetMisses = statement(
  'prune_sla_misses',
  `delete from cronwright.sla_misses where missed_at < now() - $1::int8 * interval '1 millisecond'`,
  { idempotent: true },
);

const stillLive = statement('find_live_runs', 'select run_id from cronwright.queue where run_id = any($1::uuid[])');

/** A file is older than its row by what the transaction takes. */
const orphanAfterMs = 3_600_000;

export function createPruner(options: PrunerOptions): Service {
  const { db, clock, events, workspaces } = options;

  async function pruneWorkspaces(): Promise<void> {
    if (!existsSync(workspaces)) return;
    const old: string[] = [];
    for (const name of await readdir(workspaces)) {
      const changedMs = (await stat(join(workspaces, name))).mtimeMs;
      if (clock.now() - changedMs > options.keepWorkspacesMs) old.push(name);
    }
    const ids = old.filter((name) => /^[0-9a-f-]{36}$/.test(name));
    const live = new Set((await db.query<{ run_id: string }>(stillLive, [ids])).rows.map((row) => row.run_id));
    for (const id of ids) if (!live.has(id)) await rm(join(workspaces, id), { recursive: true, force: true });
  }

  async function pruneFiles(): Promise<void> {
    if (options.artifactFiles) await pruneArtifactFiles(db, options.artifactFiles, clock.now() - orphanAfterMs);
  }

  return createLoopService({
    name: 'pruner',
    async loop(signal) {
      while (!signal.aborted) {
        await db.query(forgetKeys);
        await db.query(forgetNodes);
        await db.query(forgetApplies);
        await db.query(forgetMisses, [options.rule.occurrencesMs]);
        await pruneWorkspaces();
        await pruneFiles();
        while (!signal.aborted && (await pruneOutbox(db)));
        while (!signal.aborted && (await pruneStepCache(db)));
        while (!signal.aborted && (await pruneLlmResponses(db)));
        while (!signal.aborted && (await pruneCosts(db, options.rule.costsMs)));
        while (!signal.aborted && (await pruneHistory(db, options.rule)).isMore);
        await sleepUnlessAborted(options.everyMs, signal);
      }
    },
    onCrash: (error) => events.emit('service.crashed', { service: 'pruner', error: String(error) }),
  });
}
