// Opens the folder for large artifacts, where there is one, and makes sure that all nodes mean the same.
import type { Settings } from '../config/load-settings.ts';
import type { Database } from '../db/database.ts';
import { type ArtifactFiles, openArtifactFiles } from '../store/artifact-files.ts';
import { shareArtifactFiles } from '../store/share-artifact-files.ts';

/** Throws `invalid_config` where a live node uses another folder. `nodeId` is registered. */
export async function openArtifacts(
  db: Database,
  settings: Settings,
  nodeId: string,
): Promise<ArtifactFiles | undefined> {
  const { artifactsDir: folder, timing } = settings;
  if (folder === undefined) return undefined;
  const files = await openArtifactFiles(folder);
  // The embedded database has one node.
  if (db.kind === 'pglite') return files;
  await shareArtifactFiles(db, { id: nodeId, folder, folderId: files.id, leaseMs: timing.leaseMs });
  return files;
}
