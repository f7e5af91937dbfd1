// Large artifacts as files: kept whole, read back by steps and over HTTP, removed with their run, shared by all nodes.
import { existsSync, readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createAdjustableClock } from '../../src/base/clock.ts';
import { loadFolderId } from '../../src/base/folder-id.ts';
import { artifactContent } from '../../src/reads/run-artifacts.ts';
import { openArtifactFiles } from '../../src/store/artifact-files.ts';
import { getArtifact, putArtifact } from '../../src/store/artifacts.ts';
import { pruneArtifactFiles } from '../../src/store/prune-artifact-files.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createScript, type EngineWorld, startEngineWorld } from '../support/engine-world.ts';
import { tempFolder } from '../support/temp-folder.ts';

const runId = '01920000-0000-7000-8000-000000000001';
const large = new Uint8Array(9 * 1_048_576).map((_, i) => i % 251);
const artifactOf = (content: Uint8Array) => ({
  tenant: 'default',
  runId,
  step: 'make',
  item: undefined,
  name: 'a.bin',
  mediaType: 'application/octet-stream',
  content,
});

function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name !== 'folder-id')
    .map(({ name }) => name);
}

let test: TestDatabase;
beforeAll(async () => {
  test = await createTestDatabase('postgres');
});
afterAll(() => test.close());

describe('an artifact above 8 MB', () => {
  it('is a file, and comes back byte for byte to steps and downloads', async () => {
    const folder = tempFolder('artifacts');
    const store = { db: test.db, files: await openArtifactFiles(folder) };
    const { id, size, sha256 } = await putArtifact(store, artifactOf(large));
    expect(size).toBe(large.byteLength);
    expect(filesIn(folder)).toEqual([id]);
    const read = await getArtifact(store, 'default', id);
    expect(Buffer.compare(read?.content ?? new Uint8Array(), large)).toBe(0);
    expect(read?.artifact.sha256).toBe(sha256);
    const download = await artifactContent(store, 'default', runId, id);
    expect(download.artifact).not.toHaveProperty('in_file');
    const chunks: Uint8Array[] = [];
    for await (const chunk of download.chunks) chunks.push(chunk);
    expect(chunks.length).toBeGreaterThan(10);
    expect(Buffer.compare(Buffer.concat(chunks), large)).toBe(0);
  });

  it('is refused with what to set where there is no folder, and a smaller one is not', async () => {
    const store = { db: test.db, files: undefined };
    await expect(putArtifact(store, artifactOf(large))).rejects.toMatchObject({
      code: 'too_large',
      message: expect.stringMatching(/9437184 bytes; at most 8388608 fit .* artifacts\.path/),
    });
    await expect(putArtifact(store, artifactOf(large.subarray(0, 100)))).resolves.toMatchObject({ size: 100 });
  });

  it('cannot be read by a node without the folder, and says so', async () => {
    const files = await openArtifactFiles(tempFolder('artifacts'));
    const { id } = await putArtifact({ db: test.db, files }, artifactOf(large));
    const elsewhere = { db: test.db, files: undefined };
    await expect(getArtifact(elsewhere, 'default', id)).rejects.toMatchObject({ code: 'unavailable' });
    const other = { db: test.db, files: await openArtifactFiles(tempFolder('artifacts')) };
    await expect(getArtifact(other, 'default', id)).rejects.toMatchObject({ code: 'not_found' });
  });

  it('goes when its row has gone, and stays while it is young or has one', async () => {
    const folder = tempFolder('artifacts');
    const files = await openArtifactFiles(folder);
    const kept = await putArtifact({ db: test.db, files }, artifactOf(large));
    const orphan = '01920000-0000-7000-8000-0000000000aa';
    await files.put(orphan, large.subarray(0, 10));
    const now = createAdjustableClock().now();
    expect(await pruneArtifactFiles(test.db, files, now - 60_000)).toBe(0);
    for (const id of [kept.id, orphan]) utimesSync(join(folder, id.slice(-2), id), 1, 1);
    expect(await pruneArtifactFiles(test.db, files, now - 60_000)).toBe(1);
    expect(filesIn(folder)).toEqual([kept.id]);
  });
});

describe('nodes that keep large artifacts as files', () => {
  const worlds: EngineWorld[] = [];
  afterAll(async () => {
    for (const world of worlds) await world.stop();
  });
  const start = async (db: TestDatabase['db'], artifactsDir: string) => {
    const world = await startEngineWorld({ db, script: createScript(), pipelines: [], artifactsDir });
    worlds.push(world);
    return world;
  };

  it('start beside each other on one folder, and a second one with a folder of its own is refused and leaves', async () => {
    const shared = tempFolder('artifacts');
    await start(test.db, shared);
    await start(test.db, shared);
    await expect(start(test.db, tempFolder('artifacts'))).rejects.toThrow(
      /is not the folder that node \S+ keeps its large artifacts in/,
    );
    const { rows } = await test.db.query<{ n: number }>({
      name: 'count_live_nodes',
      text: 'select count(*) as n from cronwright.nodes where stopped_at is null',
    });
    expect(rows[0]?.n).toBe(2);
  });
});

describe('the id of a folder', () => {
  it('is made once, also by many at the same time', async () => {
    const folder = join(tempFolder('id'), 'new');
    const ids = await Promise.all(Array.from({ length: 20 }, () => loadFolderId(folder, 'folder-id')));
    expect(new Set(ids).size).toBe(1);
    expect(existsSync(join(folder, 'folder-id'))).toBe(true);
    expect(readdirSync(folder)).toEqual(['folder-id']);
  });

  it('is no guess where the file holds something else', async () => {
    const folder = tempFolder('id');
    writeFileSync(join(folder, 'folder-id'), 'hello');
    await expect(loadFolderId(folder, 'folder-id')).rejects.toThrow(/got "hello", expected a UUID/);
  });
});
