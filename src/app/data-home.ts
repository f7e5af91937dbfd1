// The identity of a data directory's workspaces: the same after a restart, so that a daemon knows the files it left there.
import { uuidv7 } from 'uuidv7';
import { loadFolderId } from '../base/folder-id.ts';

/** Lies with the workspaces: whoever deletes them deletes it. Where nothing can be written, files cannot be kept either. */
export async function loadDataHome(workspaces: string): Promise<string> {
  return loadFolderId(workspaces, '.home').catch(() => uuidv7());
}
