// Removes files of artifacts that have no row: their run was pruned, or the node died between file and row.
import { type Queryable, statement } from '../db/database.ts';
import type { ArtifactFiles } from './artifact-files.ts';

const known = statement('find_artifact_rows', 'select id from cronwright.artifacts where id = any($1::uuid[])');

const batch = 1_000;

/** Looks at files last written before `beforeMs` (milliseconds since the epoch); returns how many went. */
export async function pruneArtifactFiles(db: Queryable, files: ArtifactFiles, beforeMs: number): Promise<number> {
  const old = await files.listOlderThan(beforeMs);
  let removed = 0;
  for (let from = 0; from < old.length; from += batch) {
    const ids = old.slice(from, from + batch);
    const { rows } = await db.query<{ id: string }>(known, [ids]);
    const kept = new Set(rows.map(({ id }) => id));
    const orphans = ids.filter((id) => !kept.has(id));
    await files.remove(orphans);
    removed += orphans.length;
  }
  return removed;
}
