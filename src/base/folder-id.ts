// The identity of a folder: a file in it that is written once, the same for all who see the folder and after every restart.
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { uuidv7 } from 'uuidv7';

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Makes folder and file where they are missing. Rejects where it cannot be read, or holds something else than a UUID. */
export async function loadFolderId(folder: string, name: string): Promise<string> {
  const file = join(folder, name);
  await mkdir(folder, { recursive: true });
  const known = await readFile(file, 'utf8').catch(unlessMissing);
  if (known === undefined) await makeOnce(file);
  const id = (known ?? (await readFile(file, 'utf8'))).trim();
  if (uuid.test(id)) return id;
  throw new Error(`${file} does not hold the id of a folder: got "${id.slice(0, 50)}", expected a UUID`);
}

/** Of two that make it at the same time one is first, and nobody reads half of it. */
async function makeOnce(file: string): Promise<void> {
  const beside = `${file}.${uuidv7()}`;
  await writeFile(beside, `${uuidv7()}\n`);
  try {
    await link(beside, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    await rm(beside, { force: true });
  }
}

function unlessMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code === 'ENOENT') return undefined;
  throw error;
}
