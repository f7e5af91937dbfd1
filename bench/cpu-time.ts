// Processor time from /proc: what a figure cost, which a busy machine disturbs less than how long it took.
import { readdirSync, readFileSync } from 'node:fs';

/** Linux counts in hundredths of a second. */
const tickMs = 10;

/** Of a process, its living children and those it has already lost; undefined where there is no /proc. */
export function processTreeCpuMs(pid: number): number | undefined {
  try {
    let ticks = 0;
    for (const entry of readdirSync('/proc')) {
      if (!/^\d+$/.test(entry)) continue;
      const stat = statOf(entry);
      if (Number(entry) === pid && stat) ticks += stat.own + stat.waited;
      else if (stat?.parent === pid) ticks += stat.own;
    }
    return ticks * tickMs;
  } catch {
    return undefined;
  }
}

/** Resident memory of a process in MB. */
export function residentMb(pid: number): number | undefined {
  try {
    const kb = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return kb === undefined ? undefined : Number(kb) / 1024;
  } catch {
    return undefined;
  }
}

function statOf(pid: string): { parent: number; own: number; waited: number } | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  // The name in parentheses may hold anything.
  const fields = text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
  const [parent = 0, user = 0, system = 0, waitedUser = 0, waitedSystem = 0] = [1, 11, 12, 13, 14].map(
    (i) => fields[i],
  );
  return { parent, own: user + system, waited: waitedUser + waitedSystem };
}
