// Ends every process of a step: its group, its session, and those that left both but descend from it.
import { findTree, readProcesses } from './process-table.ts';

export interface ProcessTree {
  /** Sends the signal to all that live, and remembers them: who loses its parent is still found by the next call. */
  signal(signal: NodeJS.Signals): void;
}

/** `leader` was started as the leader of a session of its own. */
export function createProcessTree(leader: number): ProcessTree {
  const known = new Set<number>([leader]);
  return {
    signal(signal) {
      // Where there is no /proc the group has to do.
      for (const { pid } of findTree(leader, known, readProcesses())) known.add(pid);
      send(-leader, signal);
      // The leader itself goes with its group; once it is reaped its number could be somebody else's.
      for (const pid of known) if (pid !== leader) send(pid, signal);
    },
  };
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // ESRCH: it has ended already.
  }
}
