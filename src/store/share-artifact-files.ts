// Nodes that keep large artifacts in different folders could not read each other's: a second one is refused.
import { type Queryable, statement } from '../db/database.ts';
import { CronwrightError } from '../domain/errors.ts';

const tell = statement('tell_artifact_files', 'update cronwright.nodes set artifact_files = $2 where id = $1', {
  idempotent: true,
});

const others = statement(
  'find_other_artifact_files',
  `select name from cronwright.nodes
  where id <> $1 and stopped_at is null and artifact_files <> $2
    and beat_at > coalesce($4::timestamptz, now()) - $3::int4 * interval '1 millisecond'
  order by name limit 1`,
);

/**
 * `folderId` is that of `ArtifactFiles`. Tells first and looks then, so that of two that come at the same time at least one is
 * refused. Throws `invalid_config` naming a live node that uses another folder.
 */
export async function shareArtifactFiles(
  db: Queryable,
  node: { id: string; folder: string; folderId: string; leaseMs: number },
  now: Date | null = null,
): Promise<void> {
  await db.query(tell, [node.id, node.folderId]);
  const { rows } = await db.query<{ name: string }>(others, [node.id, node.folderId, node.leaseMs, now]);
  const other = rows[0];
  if (!other) return;
  throw new CronwrightError(
    'invalid_config',
    `artifacts.path ${node.folder} is not the folder that node ${other.name} keeps its large artifacts in, and neither node could ` +
      'read those of the other: give both one folder that they share, or none',
  );
}
