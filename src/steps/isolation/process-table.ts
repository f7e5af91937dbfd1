// The processes of the machine as the system tells them: who descends from whom, and what each has used. Empty without /proc.
import { readdirSync, readFileSync } from 'node:fs';

export interface ProcessEntry {
  pid: number;
  parent: number;
  group: number;
  session: number;
  /** Processor time, that of its children that have ended included. */
  cpuMs: number;
  memoryBytes: number;
}

/** USER_HZ, which every port of Linux that Node runs on has. */
const ticksPerSecond = 100;

export function readProcesses(): ProcessEntry[] {
  let names: string[];
  try {
    names = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
  return names.flatMap((name) => readProcess(Number(name)) ?? []);
}

/** Undefined where it has ended. */
export function readProcess(pid: number): ProcessEntry | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command stands in brackets and may hold anything, brackets too: what follows the last one is plain.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const number = (index: number) => Number(fields[index]);
    // proc(5): utime, stime, cutime and cstime are the fields 14 to 17, rss is 24; the state, field 3, comes first here.
    const ticks = number(11) + number(12) + number(13) + number(14);
    return {
      pid,
      parent: number(1),
      group: number(2),
      session: number(3),
      cpuMs: (ticks * 1_000) / ticksPerSecond,
      memoryBytes: number(21) * pageBytes(),
    };
  } catch {
    return undefined;
  }
}

/** All of `entries` that belong to the leader's session or group, or descend from it or from those already known. */
export function findTree(leader: number, known: ReadonlySet<number>, entries: readonly ProcessEntry[]): ProcessEntry[] {
  const found = new Map<number, ProcessEntry>();
  const isOurs = ({ pid, parent, group, session }: ProcessEntry) =>
    session === leader || group === leader || known.has(pid) || known.has(parent) || found.has(parent);
  // Until nothing new is found: /proc is not in the order of descent.
  for (let before = -1; before !== found.size; ) {
    before = found.size;
    for (const entry of entries) if (isOurs(entry)) found.set(entry.pid, entry);
  }
  return [...found.values()];
}

let pageSize: number | undefined;

/** Node does not tell it; the same memory in pages and in bytes does. */
function pageBytes(): number {
  if (pageSize === undefined) {
    const pages = Number(readFileSync('/proc/self/statm', 'utf8').split(' ')[1]);
    const ratio = process.memoryUsage.rss() / pages;
    const sizes = [4_096, 16_384, 65_536];
    pageSize = sizes.reduce((best, size) => (Math.abs(size - ratio) < Math.abs(best - ratio) ? size : best));
  }
  return pageSize;
}
