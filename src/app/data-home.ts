// The identity of a data directory's workspaces: the same after a restart, so that a daemon knows the files it left there.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { uuidv7 } from 'uuidv7';

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Lies with the workspaces: whoever deletes them deletes it. Where nothing can be written, files cannot be kept either. */
export async function loadDataHome(workspaces: string): Promise<string> {
  const file = join(workspaces, '.home');
  const made = uuidv7();
  try {
    await mkdir(workspaces, { recursive: true });
    // Of two daemons on one directory the first makes it; both read it.
    await writeFile(file, `${made}\n`, { flag: 'wx' });
    return made;
  } catch {
    const kept = await readFile(file, 'utf8').catch(() => '');
    return uuid.test(kept.trim()) ? kept.trim() : made;
  }
}
