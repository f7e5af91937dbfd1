// What a step is given where the outbox calls it: the node's services, without those that belong to a run.
import { mkdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { type HostSettings, type SqlConnection, StepError } from '../steps/api.ts';
import type { AttemptServices } from '../steps/attempt-services.ts';
import type { Secrets } from '../store/secrets.ts';
import { workspacePath } from './attempt-host.ts';

export interface DeliveryServices extends AttemptServices {
  /** Removes what a call has left in files. */
  discard(callId: string): Promise<void>;
}

export function createDeliveryServices(node: {
  host: HostSettings;
  secrets: Secrets;
  connection: (name: string, readOnly: boolean) => Promise<SqlConnection>;
}): DeliveryServices {
  const withFiles = new Set<string>();
  const folderOf = (callId: string) => workspacePath(node.host.dataDir, callId);
  const refuse = async (): Promise<never> => {
    const text =
      'a call from the outbox has no run: no checkpoint, no artifacts, no costs, no model (ctx.delivery says that it is one)';
    throw new StepError('fatal', text, { name: 'NoRun' });
  };
  return {
    host: node.host,
    secret: (_attempt, name) => node.secrets.get(name),
    sql: (_attempt, name, { readOnly }) => node.connection(name, readOnly),
    // The run has ended, and its log with it: what a delivery has to say is its result.
    log() {},
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
