// What a step is given where the outbox calls it: the node's services, without those that belong to a run.
import { mkdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import type { AttemptServices } from '../steps/attempt-services.ts';
import { type NodeServices, servicesWithoutRun } from '../steps/services-without-run.ts';
import { workspacePath } from './attempt-host.ts';

export interface DeliveryServices extends AttemptServices {
  /** Removes what a call has left in files. */
  discard(callId: string): Promise<void>;
}

export function createDeliveryServices(node: NodeServices): DeliveryServices {
  const withFiles = new Set<string>();
  const folderOf = (callId: string) => workspacePath(node.host.dataDir, callId);
  const why =
    'a call from the outbox has no run: no checkpoint, no artifacts, no costs, no model (ctx.delivery says that it is one)';
  return {
    ...servicesWithoutRun(node, why),
    // The run has ended, and its log with it: what a delivery has to say is its result.
    log() {},
    /** An empty one for each attempt: a process of its own has to be somewhere. */
    workspace({ idempotencyKey: callId }) {
      withFiles.add(callId);
      mkdirSync(folderOf(callId), { recursive: true });
      return folderOf(callId);
    },
    async discard(callId) {
      if (withFiles.delete(callId)) await rm(folderOf(callId), { recursive: true, force: true });
    },
  };
}
