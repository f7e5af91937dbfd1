// Artifacts that are too large for the database, as files of a folder that all nodes share.
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { loadFolderId } from '../base/folder-id.ts';
import { CronwrightError } from '../domain/errors.ts';

export interface ArtifactFiles {
  /** Which folder this is, wherever it is mounted: nodes that see the same one say the same. */
  readonly id: string;
  /** Durable when it returns. */
  put(id: string, content: Uint8Array): Promise<void>;
  get(id: string): Promise<Uint8Array>;
  /** Throws `not_found` at the first chunk where the file is gone. */
  chunks(id: string): AsyncIterable<Uint8Array>;
  /** Ids of files last written before this instant, in milliseconds since the epoch. */
  listOlderThan(beforeMs: number): Promise<string[]>;
  remove(ids: readonly string[]): Promise<void>;
}

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Makes the folder where it is missing. */
export async function openArtifactFiles(folder: string): Promise<ArtifactFiles> {
  const id = await loadFolderId(folder, 'folder-id');
  // A UUID v7 begins with its time: what is random in it spreads the files.
  const folderOf = (artifact: string) => join(folder, artifact.slice(-2));
  const pathOf = (artifact: string) => join(folderOf(artifact), artifact);
  const gone = (artifact: string, cause: unknown) =>
    new CronwrightError('not_found', `the file of artifact "${artifact}" is not in ${folder}`, { cause });

  return {
    id,
    async put(artifact, content) {
      await mkdir(folderOf(artifact), { recursive: true });
      await writeDurably(folderOf(artifact), pathOf(artifact), content);
    },
    async get(artifact) {
      return readFile(pathOf(artifact)).catch((error: unknown) => Promise.reject(gone(artifact, error)));
    },
    async *chunks(artifact) {
      try {
        yield* createReadStream(pathOf(artifact), { highWaterMark: 262_144 }) as AsyncIterable<Uint8Array>;
      } catch (error) {
        throw gone(artifact, error);
      }
    },
    async listOlderThan(beforeMs) {
      const old: string[] = [];
      for (const part of await readdir(folder)) {
        if (!/^[0-9a-f]{2}$/.test(part)) continue;
        for (const name of await readdir(join(folder, part))) {
          const written = await stat(join(folder, part, name)).catch(() => undefined);
          if (uuid.test(name) && written && written.mtimeMs < beforeMs) old.push(name);
        }
      }
      return old;
    },
    async remove(ids) {
      for (const artifact of ids) await rm(pathOf(artifact), { force: true });
    },
  };
}

/** Beside first, then renamed: a reader sees the whole file or none. */
async function writeDurably(folder: string, path: string, content: Uint8Array): Promise<void> {
  const beside = `${path}.${process.pid}.tmp`;
  const handle = await open(beside, 'w');
  try {
    await handle.writeFile(content);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(beside, path);
  const directory = await open(folder, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
