// The files a run left behind: their list, and the bytes of one.
import { z } from 'zod';
import { type Queryable, statement } from '../db/database.ts';
import { CronwrightError } from '../domain/errors.ts';
import type { ArtifactFiles } from '../store/artifact-files.ts';
import { requireFiles } from '../store/artifacts.ts';
import { isUuid, packCursor, unpackIdCursor } from './cursor.ts';
import { requireRun } from './get-run.ts';
import { instant, type Page } from './view-fields.ts';

export const artifactView = z
  .object({
    id: z.uuid(),
    step: z.string(),
    item: z.int().describe('-1: not of an item'),
    name: z.string(),
    media_type: z.string(),
    size: z.int().describe('bytes'),
    sha256: z.string(),
    created_at: instant,
  })
  .meta({ id: 'Artifact' });

export type ArtifactView = z.infer<typeof artifactView>;

const columns = 'id, step, item, name, media_type, size, sha256, created_at';

const list = statement(
  'list_run_artifacts',
  `select ${columns} from cronwright.artifacts
  where run_id = $1 and ($2::uuid is null or id > $2) order by id limit $3`,
);

const one = statement(
  'get_artifact',
  `select ${columns}, in_file from cronwright.artifacts where id = $1 and run_id = $2 and ($3::text is null or tenant = $3)`,
);

const chunk = statement(
  'get_artifact_chunk',
  'select content from cronwright.artifact_chunks where artifact_id = $1 and n >= $2 order by n limit 1',
);

/** Throws `not_found`. */
export async function runArtifacts(
  db: Queryable,
  tenant: string | null,
  id: string,
  options: { cursor?: string | undefined; limit: number },
): Promise<Page<ArtifactView>> {
  await requireRun(db, tenant, id);
  const { rows } = await db.query<ArtifactView>(list, [id, unpackIdCursor(options.cursor), options.limit + 1]);
  const items = rows.slice(0, options.limit);
  return { items, next_cursor: rows.length > items.length ? packCursor([items.at(-1)?.id ?? '']) : null };
}

type ArtifactRow = ArtifactView & { in_file: boolean | null };

export interface ArtifactContent {
  artifact: ArtifactView;
  /** One chunk after the other, so that a large file is never whole in memory. */
  chunks: AsyncIterable<Uint8Array>;
}

/** Throws `not_found`; `unavailable` where it is a file and this node has none. */
export async function artifactContent(
  { db, files }: { db: Queryable; files: ArtifactFiles | undefined },
  tenant: string | null,
  runId: string,
  id: string,
): Promise<ArtifactContent> {
  const known = isUuid(id) && isUuid(runId);
  const row = known ? (await db.query<ArtifactRow>(one, [id, runId, tenant])).rows[0] : undefined;
  if (!row) throw new CronwrightError('not_found', `run "${runId}" has no artifact "${id}"`);
  const { in_file: inFile, ...artifact } = row;
  return { artifact, chunks: inFile ? requireFiles(files, id).chunks(id) : readChunks(db, artifact) };
}

async function* readChunks(db: Queryable, artifact: ArtifactView): AsyncGenerator<Uint8Array> {
  let read = 0;
  for (let n = 0; read < artifact.size; n += 1) {
    const content = (await db.query<{ content: Uint8Array }>(chunk, [artifact.id, n])).rows[0]?.content;
    if (!content) throw new CronwrightError('not_found', `the content of artifact "${artifact.id}" is not complete`);
    read += content.byteLength;
    yield content;
  }
}
