// Folders for tests that are gone when the tests are.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';

const made: string[] = [];

// At import, so that the file that imports it gets the hook; a program of its own that is started by a test has no such file.
try {
  afterAll(() => {
    for (const folder of made.splice(0)) rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  });
} catch {
  // Its folders are its starter's to give.
}

/** Absolute path of a fresh folder; removed when the tests of the file have ended. */
export function tempFolder(kind: string): string {
  const folder = mkdtempSync(join(tmpdir(), `cronwright-${kind}-`));
  made.push(folder);
  return folder;
}
