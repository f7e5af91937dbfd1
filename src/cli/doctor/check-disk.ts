// Looks at the data directory: whether it can be written, how much room there is, how long a write takes to be safe.
import { constants, existsSync } from 'node:fs';
import { access, mkdtemp, open, rm, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Clock } from '../../base/clock.ts';
import { errorMessage } from '../../domain/errors.ts';
import type { Finding } from './finding.ts';

const lowSpaceBytes = 1_073_741_824;
const syncs = 20;
/** Above it a database on this disk commits fewer than 50 times a second for one writer. */
const slowSyncMs = 20;

export async function checkDataDirectory(dataDir: string): Promise<Finding> {
  const place = nearestExisting(dataDir);
  try {
    await access(place, constants.W_OK | constants.X_OK);
    const { bavail, bsize } = await statfs(place);
    const free = Number(bavail) * Number(bsize);
    const room = `${(free / lowSpaceBytes).toFixed(1)} GiB free`;
    const state = place === dataDir ? 'writable' : 'will be made at the first start';
    if (free >= lowSpaceBytes)
      return { check: 'data directory', status: 'ok', detail: `${dataDir}: ${state}, ${room}` };
    return { check: 'data directory', status: 'warn', detail: `${dataDir}: ${room}`, hint: 'make room' };
  } catch (error) {
    const hint = 'say another one by --data-dir, or change its owner';
    return { check: 'data directory', status: 'fail', detail: `${dataDir}: ${errorMessage(error)}`, hint };
  }
}

/** The median of a few small durable writes, as a database does one for each commit. */
export async function checkSync(dataDir: string, clock: Clock): Promise<Finding> {
  try {
    const median = await medianSyncMs(nearestExisting(dataDir), clock);
    const detail = `fdatasync takes ${median.toFixed(2)} ms (median of ${syncs})`;
    if (median <= slowSyncMs) return { check: 'disk', status: 'ok', detail };
    return { check: 'disk', status: 'warn', detail, hint: 'a database on this disk will be slow' };
  } catch (error) {
    return { check: 'disk', status: 'warn', detail: `cannot be measured: ${errorMessage(error)}` };
  }
}

async function medianSyncMs(directory: string, clock: Clock): Promise<number> {
  const folder = await mkdtemp(join(directory, '.cronwright-doctor-'));
  try {
    const file = await open(join(folder, 'sync'), 'w');
    const times: number[] = [];
    for (let i = 0; i < syncs; i++) {
      await file.write(Buffer.alloc(8_192, i));
      const begin = clock.monotonic();
      await file.datasync();
      times.push(clock.monotonic() - begin);
    }
    await file.close();
    return times.sort((a, b) => a - b)[syncs / 2] ?? 0;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function nearestExisting(path: string): string {
  return existsSync(path) || dirname(path) === path ? path : nearestExisting(dirname(path));
}
