// Places below a folder: what plugins get of them, with paths and links that try to leave it.
import { mkdirSync, readdirSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { existingFileInside, folderInside, isPathInside } from '../../../src/steps/api.ts';
import { tempFolder } from '../../support/temp-folder.ts';

const outs = ['..', '../x', '/etc', 'a/../../x', 'a//x', './x', 'a\\x', 'x\0y', ''];

describe('a folder that is not left', () => {
  it.each(outs)('has nothing at %j', async (path) => {
    const root = tempFolder('inside');
    expect(isPathInside(path)).toBe(false);
    await expect(folderInside(root, path)).rejects.toMatchObject({ name: 'PathEscapes', class: 'fatal' });
    await expect(existingFileInside(root, path)).rejects.toMatchObject({ name: 'PathEscapes', class: 'fatal' });
    expect(readdirSync(root)).toEqual([]);
  });

  it('has folders that are made, and files that are found, also by a link that stays inside', async () => {
    const root = tempFolder('inside');
    const real = realpathSync(root);
    expect(await folderInside(root, '.')).toBe(real);
    expect(await folderInside(root, 'a/..b')).toBe(join(real, 'a/..b'));
    symlinkSync('a', join(root, 'alias'));
    expect(await folderInside(root, 'alias/c')).toBe(join(real, 'a/c'));
    writeFileSync(join(root, 'a/c/x'), '');
    expect(await existingFileInside(root, 'alias/c/x')).toBe(join(real, 'a/c/x'));
    await expect(existingFileInside(root, 'a/c/x/y')).rejects.toMatchObject({ name: 'FileNotFound' });
    await expect(folderInside(root, 'a/c/x')).rejects.toMatchObject({ name: 'NotAFolder' });
  });

  it('makes nothing through a link that leads out, to nothing or in a circle', async () => {
    const [root, outside] = [tempFolder('inside'), tempFolder('outside')];
    mkdirSync(join(outside, 'there'));
    symlinkSync(outside, join(root, 'out'));
    symlinkSync(join(outside, 'missing'), join(root, 'nowhere'));
    symlinkSync('circle', join(root, 'circle'));
    for (const path of ['out', 'out/deep/er', 'nowhere', 'nowhere/deep', 'circle/deep']) {
      await expect(folderInside(root, path)).rejects.toMatchObject({ name: 'PathEscapes' });
    }
    await expect(existingFileInside(root, 'out/there')).rejects.toMatchObject({ name: 'PathEscapes' });
    expect(readdirSync(outside)).toEqual(['there']);
    expect(readdirSync(join(outside, 'there'))).toEqual([]);
  });
});
