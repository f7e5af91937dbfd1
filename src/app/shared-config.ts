// The configuration that all nodes share: the last apply is in force everywhere, whichever node's files it came from.
import type { Database } from '../db/database.ts';
import type { Pipeline } from '../domain/pipeline.ts';
import type { EventBus } from '../observe/events.ts';
import type { Limit } from '../queue/set-limits.ts';
import { loadInForce, newestApply } from '../store/config-applies.ts';
import { type Loaded, recordPipelines, registerPipelines } from './apply-pipelines.ts';
import type { PipelinesInForce } from './pipelines-in-force.ts';

export interface SharedConfigOptions {
  db: Database;
  inForce: PipelinesInForce;
  events: EventBus;
  /** Slots beyond those of pipelines, for the tenants and queues of these. */
  slotsFor: (pipelines: readonly Pipeline[]) => readonly Limit[];
  node: { id: string; name: string };
  /** Recorded: from now on it is in force on all nodes. */
  onRecorded: () => void;
  /** Schedules in the database have changed. */
  onSchedules: () => void;
  /** What is in force on this node is another node's now. */
  onAdopted: () => Promise<void>;
}

export interface SharedConfig {
  /** Hash of this node's own files, in force or not. */
  readonly ownHash: string;
  /** Puts this node's files in force on all nodes. Nothing to do where they say what is in force. */
  apply(loaded: Loaded): Promise<void>;
  /** Takes over what another node has applied; `seq`: the last apply. */
  follow(seq: number): Promise<void>;
}

export function createSharedConfig(options: SharedConfigOptions): SharedConfig {
  const { db, inForce, events, node, slotsFor } = options;
  let ownHash = '';
  /** Number of the apply that is in force here; 0: none yet. */
  let knownSeq = 0;
  let isApplying = false;

  async function applyOwn(loaded: Loaded): Promise<void> {
    const { pipelines, hash } = loaded;
    const { seq, before } = await recordPipelines(db, loaded, node);
    // Schedules come last to the database and first to this node: what is due next needs its pipeline here.
    inForce.replace(pipelines, hash);
    knownSeq = seq;
    options.onRecorded();
    const { total, changed, removed } = await registerPipelines(db, pipelines, slotsFor(pipelines));
    events.emit('config.applied', {
      hash,
      pipelines: pipelines.length,
      schedules: total,
      changed: changed + removed,
      ...(before === undefined || before.hash === hash ? {} : { replaces: before.hash, replacesNode: before.nodeName }),
    });
    // Whoever applied after this one may have written its schedules before these were written.
    while (await adopt()) await registerPipelines(db, inForce.list(), slotsFor(inForce.list()));
    options.onSchedules();
  }

  /** False where nothing newer than what is known was applied. */
  async function adopt(): Promise<boolean> {
    const newest = await newestApply(db);
    if (!newest || newest.seq <= knownSeq) return false;
    if (newest.hash === inForce.hash) {
      knownSeq = newest.seq;
      return true;
    }
    const loaded = await loadInForce(db);
    // Meanwhile this node may have applied its own.
    if (!loaded || loaded.apply.seq <= knownSeq) return false;
    const { apply, pipelines } = loaded;
    knownSeq = apply.seq;
    inForce.replace(pipelines, apply.hash);
    events.emit('config.adopted', {
      hash: apply.hash,
      node: apply.nodeName,
      pipelines: pipelines.length,
      appliedAt: apply.at.getTime(),
    });
    await options.onAdopted();
    return true;
  }

  return {
    get ownHash() {
      return ownHash;
    },
    async apply(loaded) {
      ownHash = loaded.hash;
      if (knownSeq > 0 && loaded.hash === inForce.hash) return;
      isApplying = true;
      try {
        await applyOwn(loaded);
      } finally {
        isApplying = false;
      }
    },
    async follow(seq) {
      // An apply of its own looks at its end.
      if (isApplying || seq <= knownSeq) return;
      await adopt();
    },
  };
}
