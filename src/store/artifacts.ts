// Keeps artifacts up to 8 MB in the database, in chunks; whole or not at all.
import { createHash } from 'node:crypto';
import { uuidv7 } from 'uuidv7';
import { type Database, type Queryable, statement } from '../db/database.ts';
import { CronwrightError } from '../domain/errors.ts';

/** Bytes; larger ones need an artifact store of files. */
const maxArtifactBytes = 8 * 1_048_576;
const chunkBytes = 262_144;

export interface StoredArtifact {
  id: string;
  runId: string;
  name: string;
  mediaType: string;
  /** Bytes. */
  size: number;
  sha256: string;
}

const insertArtifact = statement(
  'insert_artifact',
  `insert into cronwright.artifacts (id, tenant, run_id, step, item, name, media_type, size, sha256, created_at)
  values ($1, $2, $3, $4, $5, $6, $7, $8, $9, coalesce($10::timestamptz, now()))
  on conflict do nothing`,
);

const insertChunk = statement(
  'insert_artifact_chunk',
  `insert into cronwright.artifact_chunks (artifact_id, n, tenant, content) values ($1, $2, $3, $4) on conflict do nothing`,
);

const selectArtifact = statement(
  'select_artifact',
  'select id, run_id, name, media_type, size, sha256 from cronwright.artifacts where tenant = $1 and id = $2',
);

const selectChunks = statement(
  'select_artifact_chunks',
  'select content from cronwright.artifact_chunks where artifact_id = $1 order by n',
);

export async function putArtifact(
  db: Database,
  artifact: {
    tenant: string;
    runId: string;
    step: string;
    item: number | undefined;
    name: string;
    mediaType: string;
    content: Uint8Array;
  },
  now: Date | null = null,
): Promise<StoredArtifact> {
  const { content } = artifact;
  if (content.byteLength > maxArtifactBytes) {
    throw new CronwrightError(
      'too_large',
      `artifact ${artifact.name} has ${content.byteLength} bytes; at most ${maxArtifactBytes} fit into the database`,
    );
  }
  const id = uuidv7();
  const sha256 = createHash('sha256').update(content).digest('hex');
  await db.transaction(
    async (tx) => {
      await tx.query(insertArtifact, [
        id,
        artifact.tenant,
        artifact.runId,
        artifact.step,
        artifact.item ?? -1,
        artifact.name,
        artifact.mediaType,
        content.byteLength,
        sha256,
        now,
      ]);
      for (let n = 0; n * chunkBytes < content.byteLength; n += 1) {
        const chunk = content.subarray(n * chunkBytes, (n + 1) * chunkBytes);
        await tx.query(insertChunk, [id, n, artifact.tenant, chunk]);
      }
    },
    { idempotent: true },
  );
  return {
    id,
    runId: artifact.runId,
    name: artifact.name,
    mediaType: artifact.mediaType,
    size: content.byteLength,
    sha256,
  };
}

export async function getArtifact(
  db: Queryable,
  tenant: string,
  id: string,
): Promise<{ artifact: StoredArtifact; content: Uint8Array } | undefined> {
  const { rows } = await db.query<{
    id: string;
    run_id: string;
    name: string;
    media_type: string;
    size: number;
    sha256: string;
  }>(selectArtifact, [tenant, id]);
  const row = rows[0];
  if (!row) return undefined;
  const chunks = (await db.query<{ content: Uint8Array }>(selectChunks, [id])).rows;
  const content = new Uint8Array(row.size);
  let offset = 0;
  for (const chunk of chunks) {
    content.set(chunk.content, offset);
    offset += chunk.content.byteLength;
  }
  return {
    artifact: {
      id: row.id,
      runId: row.run_id,
      name: row.name,
      mediaType: row.media_type,
      size: row.size,
      sha256: row.sha256,
    },
    content,
  };
}
