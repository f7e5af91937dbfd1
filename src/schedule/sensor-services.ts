// What a sensor is given while it looks: the node's services, without those that belong to a run.
import { mkdirSync } from 'node:fs';
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { EventBus } from '../observe/events.ts';
import { type HostSettings, type SqlConnection, StepError } from '../steps/api.ts';
import type { AttemptServices } from '../steps/attempt-services.ts';
import type { Secrets } from '../store/secrets.ts';

export interface SensorServices extends AttemptServices {
  /** Removes what a look has left in files. */
  discard(lookId: string): Promise<void>;
  /** Removes what looks have left whose process was killed. */
  sweep(nowMs: number): Promise<void>;
}

/** No look takes as long. */
const leftBehindMs = 2 * 3_600_000;

export interface SensorServicesOptions {
  host: HostSettings;
  secrets: Secrets;
  events: EventBus;
  connection: (name: string, readOnly: boolean) => Promise<SqlConnection>;
}

export function createSensorServices(node: SensorServicesOptions): SensorServices {
  const withFiles = new Set<string>();
  const folderOf = (lookId: string) => join(node.host.dataDir, 'sensors', lookId);
  const refuse = async (): Promise<never> => {
    throw new StepError('fatal', 'a sensor has no run: nothing that belongs to one', { name: 'NoRun' });
  };
  return {
    host: node.host,
    secret: (_attempt, name) => node.secrets.get(name),
    sql: (_attempt, name, { readOnly }) => node.connection(name, readOnly),
    log({ tenant, pipeline, step }, { level, message, fields }) {
      const sensor = `${pipeline}.${step}`;
      node.events.emit('sensor.said', { sensor, tenant, level, message, ...(fields ? { fields } : {}) });
    },
    progress() {},
    event() {},
    loadCheckpoint: async () => undefined,
    saveCheckpoint: refuse,
    putArtifact: refuse,
    getArtifact: refuse,
    putOutbox: refuse,
    ask: refuse,
    askLlm: refuse,
    addCost: refuse,
    reserveCost: refuse,
    settleCost: refuse,
    costsSoFar: refuse,
    expectCost: refuse,
    loadConversation: refuse,
    appendConversation: refuse,
    startRun: refuse,
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
