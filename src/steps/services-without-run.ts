// The services of a node where there is no run: what belongs to one is refused.
import type { HostSettings, SqlConnection } from './api.ts';
import type { AttemptServices } from './attempt-services.ts';
import { StepError } from './step-error.ts';

export interface NodeServices {
  host: HostSettings;
  secrets: { get(name: string): Promise<string | undefined> };
  connection: (name: string, readOnly: boolean) => Promise<SqlConnection>;
}

/** `why` is the message of the fatal `NoRun`. */
export function servicesWithoutRun(node: NodeServices, why: string): Omit<AttemptServices, 'log' | 'workspace'> {
  const refuse = async (): Promise<never> => {
    throw new StepError('fatal', why, { name: 'NoRun' });
  };
  return {
    host: node.host,
    secret: (_attempt, name) => node.secrets.get(name),
    sql: (_attempt, name, { readOnly }) => node.connection(name, readOnly),
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
  };
}
