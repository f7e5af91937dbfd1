// Services for a step under test: everything a step does to its host is kept in memory.
import { createHash, randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { type Artifact, type HostSettings, type Json, type SqlConnection, StepError } from '../api.ts';
import type { AttemptServices, LogLine } from '../attempt-services.ts';

/** What a step did to its host, in the order it did it. */
export interface Recorded {
  log: LogLine[];
  progress: { done: number; total: number; message?: string }[];
  events: { type: string; data: Json }[];
  checkpoint: Json | undefined;
  artifacts: { artifact: Artifact; content: Uint8Array }[];
  /** Calls put into the outbox, each once: by id, the input. */
  outbox: Map<string, unknown>;
}

/** One thing a step did, as it happens. */
export type Seen =
  | ({ kind: 'log' } & LogLine)
  | { kind: 'progress'; done: number; total: number; message?: string }
  | { kind: 'event'; type: string; data: Json }
  | { kind: 'checkpoint'; state: Json }
  | { kind: 'artifact'; artifact: Artifact };

export interface RecordingOptions {
  host: HostSettings;
  /** Absolute; made on first use. */
  workspaceDir: string;
  secrets: Readonly<Record<string, string>>;
  sql: (name: string, options: { readOnly: boolean }) => Promise<SqlConnection>;
  onSeen?: (seen: Seen) => void;
}

export function createRecorded(checkpoint?: Json): Recorded {
  return { log: [], progress: [], events: [], checkpoint, artifacts: [], outbox: new Map() };
}

export function createRecordingServices(recorded: Recorded, options: RecordingOptions): AttemptServices {
  const seen = options.onSeen ?? (() => {});
  return {
    host: options.host,
    log(_attempt, line) {
      recorded.log.push(line);
      seen({ kind: 'log', ...line });
    },
    progress(_attempt, progress) {
      recorded.progress.push(progress);
      seen({ kind: 'progress', ...progress });
    },
    event(_attempt, type, data) {
      recorded.events.push({ type, data });
      seen({ kind: 'event', type, data });
    },
    async loadCheckpoint() {
      return recorded.checkpoint;
    },
    async saveCheckpoint(_attempt, state) {
      recorded.checkpoint = state;
      seen({ kind: 'checkpoint', state });
    },
    async putArtifact(_attempt, { name, mediaType, content }) {
      const sha256 = createHash('sha256').update(content).digest('hex');
      const artifact = { id: randomUUID(), name, mediaType, size: content.length, sha256 };
      recorded.artifacts.push({ artifact, content });
      seen({ kind: 'artifact', artifact });
      return artifact;
    },
    async getArtifact(_attempt, id) {
      const found = recorded.artifacts.find(({ artifact }) => artifact.id === id);
      if (!found) throw new StepError('fatal', `there is no artifact ${id}`, { name: 'NotFound' });
      return found;
    },
    async secret(_attempt, name) {
      return Object.hasOwn(options.secrets, name) ? options.secrets[name] : undefined;
    },
    sql: (_attempt, name, { readOnly }) => options.sql(name, { readOnly }),
    async putOutbox({ idempotencyKey: id }, { value }) {
      recorded.outbox.set(id, value);
      return { id };
    },
    workspace() {
      mkdirSync(options.workspaceDir, { recursive: true });
      return options.workspaceDir;
    },
  };
}
