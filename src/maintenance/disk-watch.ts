// Looks whether the data directory can be written: a node that cannot keep files takes no runs until it can again.
import { randomBytes } from 'node:crypto';
import { rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createLoopService, type Service, sleepUnlessAborted } from '../base/service.ts';
import { errorMessage } from '../domain/errors.ts';
import type { EventBus } from '../observe/events.ts';

export interface DiskWatchOptions {
  dataDir: string;
  events: EventBus;
  /** Called with true where nothing can be written any more, with false where it can again. */
  onChange: (isFull: boolean) => void;
  /** Default 5,000. */
  everyMs?: number;
}

export interface DiskWatch extends Service {
  /** What is wrong with the data directory; undefined: nothing. */
  problem(): string | undefined;
}

/** Less room than this is none: a run's first file would already be too large. */
const leastFreeBytes = 1024 * 1024;
/** What is written to see whether writing works: quotas and read-only mounts do not show in the room that is left. */
const probe = randomBytes(16 * 1024);

export function createDiskWatch({ dataDir, events, onChange, everyMs = 5_000 }: DiskWatchOptions): DiskWatch {
  const file = join(dataDir, '.disk-probe');
  let problem: string | undefined;

  async function look(): Promise<void> {
    const now = await findProblem();
    const isChanged = (now === undefined) !== (problem === undefined);
    problem = now;
    if (!isChanged) return;
    onChange(now !== undefined);
    if (now === undefined) events.emit('disk.recovered', { dataDir });
    else events.emit('disk.full', { dataDir, reason: now });
  }

  async function findProblem(): Promise<string | undefined> {
    try {
      const { bavail, bsize } = await statfs(dataDir);
      if (bavail * bsize < leastFreeBytes)
        return `${bavail * bsize} bytes are free, expected at least ${leastFreeBytes}`;
      await writeFile(file, probe);
      return undefined;
    } catch (error) {
      return errorMessage(error);
    } finally {
      await rm(file, { force: true }).catch(() => {});
    }
  }

  const loop = createLoopService({
    name: 'disk-watch',
    async loop(signal) {
      do await look();
      while (await sleepUnlessAborted(everyMs, signal));
    },
    onCrash: (error) => events.emit('service.crashed', { service: 'disk-watch', error: String(error) }),
  });
  return { name: loop.name, start: () => loop.start(), stop: () => loop.stop(), problem: () => problem };
}
