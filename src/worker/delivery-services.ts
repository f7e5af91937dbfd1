// What a step is given where the outbox calls it: the node's services, without those that belong to a run.
import { type HostSettings, type SqlConnection, StepError } from '../steps/api.ts';
import type { AttemptServices } from '../steps/attempt-services.ts';
import type { Secrets } from '../store/secrets.ts';

export function createDeliveryServices(node: {
  host: HostSettings;
  secrets: Secrets;
  connection: (name: string, readOnly: boolean) => Promise<SqlConnection>;
}): AttemptServices {
  const refuse = async (): Promise<never> => {
    throw noRun();
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
    workspace() {
      throw noRun();
    },
  };
}

function noRun(): StepError {
  const text =
    'a call from the outbox has no run: no workspace, checkpoint or artifacts (ctx.delivery says that it is one)';
  return new StepError('fatal', text, { name: 'NoRun' });
}
