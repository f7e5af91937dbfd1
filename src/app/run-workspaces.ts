// The files of runs on this node: which runs have some, whether they can be gone on from, and when they are of no more use.
import { existsSync, rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import type { EventBus } from '../observe/events.ts';
import { copyWorkspace, workspacePath } from '../worker/attempt-host.ts';
import type { HasWorkspace } from '../worker/load-live-runs.ts';

export interface RunWorkspaces {
  /** The run has files here from now on. */
  note(runId: string): void;
  /** Whether a run that this node carries out has files here. */
  has(runId: string): boolean;
  /** Whether a run that was claimed can go on with what is here. */
  canGoOn: HasWorkspace;
  stop(): void;
}

export function createRunWorkspaces(options: {
  dataDir: string;
  /** The identity of that directory. */
  home: string;
  events: EventBus;
}): RunWorkspaces {
  const { dataDir, home, events } = options;
  // Most runs have no files, and to ask the file system costs as much as the rest of a run's end.
  const withFiles = new Set<string>();
  const isThere = (runId: string) => existsSync(workspacePath(dataDir, runId));
  const takeFiles = (from: string, to: string): boolean => {
    try {
      copyWorkspace(workspacePath(dataDir, from), workspacePath(dataDir, to));
    } catch (error) {
      // Its worker changed them meanwhile, or they are gone: the steps that wrote them run again.
      events.emit('service.crashed', { service: 'workspaces', error: String(error) });
      return false;
    }
    withFiles.add(to);
    return true;
  };
  const ends = [
    // The files of a run that completed or was undone are of no more use; those of others are kept for a retry.
    events.on('run.finished', ({ runId, state, isUndone }) => {
      if (!withFiles.delete(runId) || (state !== 'completed' && state !== 'rolled_back' && !isUndone)) return;
      void rm(workspacePath(dataDir, runId), { recursive: true, force: true }).catch((error: unknown) =>
        events.emit('service.crashed', { service: 'workspaces', error: String(error) }),
      );
    }),
    events.on('run.lease_lost', ({ runId }) => withFiles.delete(runId)),
  ];

  return {
    note: (runId) => withFiles.add(runId),
    has: (runId) => withFiles.has(runId),
    canGoOn({ runId, home: last, record }) {
      if (last !== null && last !== home) {
        // What is here is from before another node went on with the run.
        withFiles.delete(runId);
        rmSync(workspacePath(dataDir, runId), { recursive: true, force: true });
        return false;
      }
      if (isThere(runId)) withFiles.add(runId);
      const parentId = record?.child ? null : (record?.parentId ?? null);
      if (withFiles.has(runId)) return true;
      if (parentId === null || !isThere(parentId)) return false;
      // Now, and not when a step asks: what it was forked from may go on, and its end takes the files away.
      return record?.origin !== 'fork' || takeFiles(parentId, runId);
    },
    stop() {
      for (const end of ends) end();
    },
  };
}
