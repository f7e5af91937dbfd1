// Ends every process of a step: its group, its session, and those that left both but descend from it.
import { readdirSync, readFileSync } from 'node:fs';

export interface ProcessTree {
  /** Sends the signal to all that live, and remembers them: who loses its parent is still found by the next call. */
  signal(signal: NodeJS.Signals): void;
}

/** `leader` was started as the leader of a session of its own. */
export function createProcessTree(leader: number): ProcessTree {
  const known = new Set<number>([leader]);
  return {
    signal(signal) {
      for (const pid of descendants(leader, known)) known.add(pid);
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

interface ProcessEntry {
  pid: number;
  parent: number;
  group: number;
  session: number;
}

/** Where there is no /proc the group has to do. */
function descendants(leader: number, known: ReadonlySet<number>): number[] {
  const entries = readProcesses();
  const found = new Set<number>();
  const isOurs = ({ pid, parent, group, session }: ProcessEntry) =>
    session === leader || group === leader || known.has(pid) || known.has(parent) || found.has(parent);
  // Until nothing new is found: /proc is not in the order of descent.
  for (let before = -1; before !== found.size; ) {
    before = found.size;
    for (const entry of entries) if (isOurs(entry)) found.add(entry.pid);
  }
  return [...found];
}

function readProcesses(): ProcessEntry[] {
  let names: string[];
  try {
    names = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
  return names.flatMap((name) => {
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      // The command stands in brackets and may hold anything, brackets too: what follows the last one is plain.
      const [, parent, group, session] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return [{ pid: Number(name), parent: Number(parent), group: Number(group), session: Number(session) }];
    } catch {
      return [];
    }
  });
}
