// Keeps artifacts: up to 8 MB in the database, in chunks, larger ones as files; whole or not at all.
import { createHash } from 'node:crypto';
import { uuidv7 } from 'uuidv7';
import { type Database, type Queryable, statement } from '../db/database.ts';
import { CronwrightError } from '../domain/errors.ts';
import type { ArtifactFiles } from './artifact-files.ts';

/** Bytes; larger ones are files. */
const mostInDatabase = 8 * 1_048_576;
/** Bytes: a step holds it whole in memory. */
const mostAtAll = 1_073_741_824;
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
  `insert into cronwright.artifacts (id, tenant, run_id, step, item, name, media_type, size, sha256, created_at, in_file)
  values ($1, $2, $3, $4, $5, $6, $7, $8, $9, coalesce($10::timestamptz, now()), $11)
  on conflict do nothing`,
);

const insertChunk = statement(
  'insert_artifact_chunk',
  `insert into cronwright.artifact_chunks (artifact_id, n, tenant, content) values ($1, $2, $3, $4) on conflict do nothing`,
);

const selectArtifact = statement(
  'select_artifact',
  'select id, run_id, name, media_type, size, sha256, in_file from cronwright.artifacts where tenant = $1 and id = $2',
);

const selectChunks = statement(
  'select_artifact_chunks',
  'select content from cronwright.artifact_chunks where artifact_id = $1 order by n',
);

/** `files` undefined: this node keeps no artifacts as files. */
export async function putArtifact(
  store: { db: Database; files: ArtifactFiles | undefined },
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
  const size = content.byteLength;
  if (size > (store.files ? mostAtAll : mostInDatabase)) throw tooLarge(artifact.name, size, store.files !== undefined);
  const id = uuidv7();
  const sha256 = createHash('sha256').update(content).digest('hex');
  // The file first: a row never names one that is not there. One without a row is removed by the pruner.
  const files = size > mostInDatabase ? store.files : undefined;
  await files?.put(id, content);
  await store.db.transaction(
    async (tx) => {
      await tx.query(insertArtifact, [
        id,
        artifact.tenant,
        artifact.runId,
        artifact.step,
        artifact.item ?? -1,
        artifact.name,
        artifact.mediaType,
        size,
        sha256,
        now,
        files !== undefined,
      ]);
      if (files) return;
      for (let n = 0; n * chunkBytes < size; n += 1) {
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
    size,
    sha256,
  };
}

function tooLarge(name: string, size: number, hasFiles: boolean): CronwrightError {
  const allowed = hasFiles
    ? `at most ${mostAtAll} are kept`
    : `at most ${mostInDatabase} fit into the database; set artifacts.path to keep larger ones as files`;
  return new CronwrightError('too_large', `artifact ${name} has ${size} bytes; ${allowed}`);
}

export async function getArtifact(
  { db, files }: { db: Queryable; files: ArtifactFiles | undefined },
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
    in_file: boolean | null;
  }>(selectArtifact, [tenant, id]);
  const row = rows[0];
  if (!row) return undefined;
  const content = row.in_file ? await requireFiles(files, id).get(id) : await readChunks(db, id, row.size);
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

/** Throws `unavailable` where this node has no folder for files. */
export function requireFiles(files: ArtifactFiles | undefined, id: string): ArtifactFiles {
  if (files) return files;
  throw new CronwrightError(
    'unavailable',
    `artifact "${id}" is a file, and this node has no artifacts.path to find it in`,
  );
}

async function readChunks(db: Queryable, id: string, size: number): Promise<Uint8Array> {
  const chunks = (await db.query<{ content: Uint8Array }>(selectChunks, [id])).rows;
  const content = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    content.set(chunk.content, offset);
    offset += chunk.content.byteLength;
  }
  return content;
}
