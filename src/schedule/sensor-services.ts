// What a sensor is given while it looks: the node's services, without those that belong to a run.
import { mkdirSync } from 'node:fs';
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { EventBus } from '../observe/events.ts';
import type { AttemptServices } from '../steps/attempt-services.ts';
import { type NodeServices, servicesWithoutRun } from '../steps/services-without-run.ts';

export interface SensorServices extends AttemptServices {
  /** Removes what a look has left in files. */
  discard(lookId: string): Promise<void>;
  /** Removes what looks have left whose process was killed. */
  sweep(nowMs: number): Promise<void>;
}

/** No look takes as long. */
const leftBehindMs = 2 * 3_600_000;

export interface SensorServicesOptions extends NodeServices {
  events: EventBus;
}

export function createSensorServices(node: SensorServicesOptions): SensorServices {
  const withFiles = new Set<string>();
  const folderOf = (lookId: string) => join(node.host.dataDir, 'sensors', lookId);
  return {
    ...servicesWithoutRun(node, 'a sensor has no run: nothing that belongs to one'),
    log({ tenant, pipeline, step }, { level, message, fields }) {
      const sensor = `${pipeline}.${step}`;
      node.events.emit('sensor.said', { sensor, tenant, level, message, ...(fields ? { fields } : {}) });
    },
    workspace({ runId: lookId }) {
      withFiles.add(lookId);
      mkdirSync(folderOf(lookId), { recursive: true });
      return folderOf(lookId);
    },
    async discard(lookId) {
      if (withFiles.delete(lookId)) await rm(folderOf(lookId), { recursive: true, force: true });
    },
    async sweep(nowMs) {
      const all = join(node.host.dataDir, 'sensors');
      for (const name of await readdir(all).catch(() => [])) {
        const made = await stat(join(all, name)).catch(() => undefined);
        if (made && nowMs - made.mtimeMs > leftBehindMs) await rm(join(all, name), { recursive: true, force: true });
      }
    },
  };
}
