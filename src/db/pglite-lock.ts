// Keeps a second process out of a PGlite directory: two of them corrupt it without an error.
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '../base/clock.ts';
import { CronwrightError } from '../domain/errors.ts';

export interface DirectoryLock {
  /** Lets the directory go. Safe twice. */
  release(): void;
}

interface Holder {
  pid: number;
  /** When that process began, as its system tells it: a later process with the same pid began at another time. */
  startedAt: string | undefined;
  /** Processes of another host (or container) cannot be looked up: there, only touches tell the living from the dead. */
  host: string;
  /** Tells this holding from another of the same process. */
  id: string;
}

const touchEveryMs = 2_000;
/** A foreign holder that has not touched its lock for this long, watched by our own clock, is dead. */
const foreignSilenceMs = 10_000;
/** A lock file without readable content is being written, or its writer died within that instant. */
const unreadableGraceMs = 2_000;

/**
 * Takes the lock file at `path`. Throws `unavailable`, naming the process, where a living one holds it. What a killed
 * process left behind is taken over.
 */
export async function lockDirectory(
  path: string,
  onTakenOver: (formerPid: number) => void = () => {},
): Promise<DirectoryLock> {
  mkdirSync(dirname(path), { recursive: true });
  const own: Holder = {
    pid: process.pid,
    startedAt: processStartedAt(process.pid),
    host: hostname(),
    id: randomUUID(),
  };
  while (!create(path, own)) {
    const holder = await readSettled(path);
    if (holder === 'gone') continue;
    if (holder !== 'unreadable' && (await isAlive(path, holder))) throw lockedError(path, holder);
    if (await takeOver(path, holder, own)) {
      if (holder !== 'unreadable') onTakenOver(holder.pid);
      break;
    }
  }
  return hold(path, own);
}

function hold(path: string, own: Holder): DirectoryLock {
  const touching = setInterval(() => {
    // The lock is seen by other processes of this machine: its clock is the one they share.
    const now = new Date(systemClock.now());
    try {
      utimesSync(path, now, now);
    } catch {
      // The directory is gone; its database will say so.
    }
  }, touchEveryMs);
  touching.unref();
  return {
    release() {
      clearInterval(touching);
      const holder = read(path);
      if (typeof holder === 'object' && holder.id === own.id) rmSync(path, { force: true });
    },
  };
}

/** Only one process at a time may replace a dead holder, or the second would throw out the first's fresh lock. */
async function takeOver(path: string, dead: Holder | 'unreadable', own: Holder): Promise<boolean> {
  const mutex = `${path}.takeover`;
  if (!create(mutex, own)) {
    const rival = await readSettled(mutex);
    if (rival === 'unreadable' || (rival !== 'gone' && !(await isAlive(mutex, rival)))) rmSync(mutex, { force: true });
    await sleep(20);
    return false;
  }
  try {
    const holder = read(path);
    const same = holder === dead || (typeof holder === 'object' && typeof dead === 'object' && holder.id === dead.id);
    if (!same) return false;
    rmSync(path, { force: true });
    return create(path, own);
  } finally {
    rmSync(mutex, { force: true });
  }
}

function create(path: string, holder: Holder): boolean {
  try {
    writeFileSync(path, `${JSON.stringify(holder)}\n`, { flag: 'wx' });
    return true;
  } catch (error) {
    if (isCode(error, 'EEXIST')) return false;
    throw new CronwrightError('unavailable', `cannot write the lock file ${path}: ${String(error)}`, { cause: error });
  }
}

function read(path: string): Holder | 'unreadable' | 'gone' {
  try {
    const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
    return isHolder(value) ? value : 'unreadable';
  } catch (error) {
    return isCode(error, 'ENOENT') ? 'gone' : 'unreadable';
  }
}

async function readSettled(path: string): Promise<Holder | 'unreadable' | 'gone'> {
  const until = performance.now() + unreadableGraceMs;
  for (let holder = read(path); ; holder = read(path)) {
    if (holder !== 'unreadable' || performance.now() > until) return holder;
    await sleep(20);
  }
}

async function isAlive(path: string, holder: Holder): Promise<boolean> {
  if (holder.host !== hostname()) return touchedWithin(path, foreignSilenceMs);
  if (!isRunning(holder.pid)) return false;
  const startedAt = processStartedAt(holder.pid);
  // Where the system does not tell when a process began, a running pid has to count as the holder.
  return startedAt === undefined || holder.startedAt === undefined || startedAt === holder.startedAt;
}

/** Watches the file's time rather than comparing it with ours: the other host's clock may be wrong. */
async function touchedWithin(path: string, ms: number): Promise<boolean> {
  const before = touchedAt(path);
  for (const until = performance.now() + ms; performance.now() < until; ) {
    await sleep(100);
    if (touchedAt(path) !== before) return true;
  }
  return false;
}

function touchedAt(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs;
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return isCode(error, 'EPERM');
  }
}

/** A text that is the same for one process all its life and differs for a later one with its pid. */
export function processStartedAt(pid: number): string | undefined {
  try {
    if (process.platform === 'linux') {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      // The name in parentheses may hold anything; field 22 is the 20th behind it, in ticks since boot.
      const ticks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
      return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()} ${ticks}`;
    }
    if (process.platform === 'win32') return undefined;
    return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim() || undefined;
  } catch {
    return undefined;
  }
}

function lockedError(path: string, holder: Holder): CronwrightError {
  const who = holder.pid === process.pid && holder.host === hostname() ? 'this very process' : `process ${holder.pid}`;
  const where = holder.host === hostname() ? '' : ` on ${holder.host}`;
  return new CronwrightError(
    'unavailable',
    `the database is in use by ${who}${where} (lock file ${path}); PGlite takes one process: ` +
      'stop that one, or set DATABASE_URL to a PostgreSQL for several',
    { details: { pid: holder.pid, host: holder.host } },
  );
}

function isHolder(value: unknown): value is Holder {
  return (
    typeof value === 'object' && value !== null && 'pid' in value && typeof value.pid === 'number' && 'host' in value
  );
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
