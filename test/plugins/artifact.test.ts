// artifact.write and artifact.get: what is kept comes back as it was.
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { errorOf, outputOf, type Ran, runStep } from '../support/step-context.ts';
import { tempFolder } from '../support/temp-folder.ts';

const write = (input: unknown, overrides = {}) => runStep('artifact.write', input, overrides);

/** Reads with what an earlier step kept. */
const get = (input: Record<string, unknown>, from: Ran, overrides = {}) =>
  runStep(
    'artifact.get',
    { id: from.recorded.artifacts[0]?.artifact.id, ...input },
    { artifacts: from.recorded.artifacts, ...overrides },
  );

describe('artifact.write', () => {
  it('keeps a text, a value or a file, each with a type that fits', async () => {
    const text = outputOf(await write({ name: 'notes.md', content: '# é' }));
    expect(text).toMatchObject({
      name: 'notes.md',
      media_type: 'text/markdown',
      size: 4,
      sha256: createHash('sha256').update('# é').digest('hex'),
    });
    expect(outputOf(await write({ name: 'x', json: null }))).toMatchObject({ media_type: 'application/json', size: 4 });
    const workspaceDir = tempFolder('workspace');
    mkdirSync(join(workspaceDir, 'out'));
    writeFileSync(join(workspaceDir, 'out/a.pdf'), Buffer.from([0, 255, 1]));
    const file = await write({ file: 'out/a.pdf' }, { workspaceDir });
    expect(outputOf(file)).toMatchObject({ name: 'a.pdf', media_type: 'application/pdf', size: 3 });
    expect([...(file.recorded.artifacts[0]?.content ?? [])]).toEqual([0, 255, 1]);
  });

  it('wants exactly one thing to keep, and a name', async () => {
    expect(errorOf(await write({ name: 'x' })).message).toContain('exactly one of content, json and file');
    expect(errorOf(await write({ name: 'x', content: '', json: 1 })).message).toContain('exactly one of');
    expect(errorOf(await write({ content: '' })).message).toContain('expected a name');
  });

  it.each([
    'text/html\r\nx: y',
    'text',
    'text/',
    'text/häml',
    'text/a b',
    'text/a; b',
  ])('wants a media type, not %j', async (mediaType) => {
    const error = errorOf(await write({ name: 'x', content: '', media_type: mediaType }));
    expect(error).toMatchObject({ name: 'ValidationError', message: expect.stringContaining('type/subtype') });
  });

  it('lets no path and no link lead out of the workspace', async () => {
    const workspaceDir = tempFolder('workspace');
    symlinkSync('/etc', join(workspaceDir, 'etc'));
    expect(errorOf(await write({ file: 'etc/hostname' }, { workspaceDir })).name).toBe('PathEscapes');
    for (const file of ['../x', 'a\\x', 'x\0y', '/x', 'a//x']) {
      expect(errorOf(await write({ file }, { workspaceDir })).message).toContain('stays in the workspace');
    }
    expect(errorOf(await write({ file: 'no.txt' }, { workspaceDir })).name).toBe('FileNotFound');
  });
});

describe('artifact.get', () => {
  it('brings back what was kept as text, value, base64 or file', async () => {
    const kept = await write({ name: 'x.json', json: { a: [1, 'é'] } });
    expect(outputOf(await get({ as: 'json' }, kept)).content).toEqual({ a: [1, 'é'] });
    expect(JSON.parse(String(outputOf(await get({}, kept)).content))).toEqual({ a: [1, 'é'] });
    const base64 = String(outputOf(await get({ as: 'base64' }, kept)).content);
    expect(JSON.parse(Buffer.from(base64, 'base64').toString())).toEqual({ a: [1, 'é'] });
    const ran = await get({ as: 'file', file: 'in/x.json' }, kept);
    expect(outputOf(ran).content).toBeNull();
    expect(JSON.parse(readFileSync(join(ran.workspaceDir, 'in/x.json'), 'utf8'))).toEqual({ a: [1, 'é'] });
  });

  it('says what is no text, no JSON, or not there', async () => {
    const workspaceDir = tempFolder('workspace');
    writeFileSync(join(workspaceDir, 'a.bin'), Buffer.from([0xff, 0xfe]));
    expect(errorOf(await get({}, await write({ file: 'a.bin' }, { workspaceDir }))).name).toBe('NotText');
    expect(errorOf(await get({ as: 'json' }, await write({ name: 'a', content: '{' }))).name).toBe('NotJson');
    const id = '00000000-0000-7000-8000-000000000000';
    expect(errorOf(await get({ id }, await write({ name: 'a', content: '' }))).message).toContain(id);
  });

  it('writes no file through a link that leads out', async () => {
    const workspaceDir = tempFolder('workspace');
    const outside = tempFolder('elsewhere');
    symlinkSync(outside, join(workspaceDir, 'out'));
    symlinkSync(join(outside, 'missing'), join(workspaceDir, 'nowhere'));
    const kept = await write({ name: 'a', content: 'a' });
    for (const file of ['out/a', 'out/deep/er/a', 'nowhere/a', 'nowhere/deep/a']) {
      expect(errorOf(await get({ as: 'file', file }, kept, { workspaceDir })).name).toBe('PathEscapes');
    }
    expect(readdirSync(outside)).toEqual([]);
  });

  it('replaces a file, and a link itself instead of what it leads to', async () => {
    const [workspaceDir, outside] = [tempFolder('workspace'), tempFolder('elsewhere')];
    writeFileSync(join(outside, 'victim'), 'theirs');
    writeFileSync(join(workspaceDir, 'plain'), 'much longer than before');
    symlinkSync(join(outside, 'victim'), join(workspaceDir, 'link'));
    const kept = await write({ name: 'a', content: 'a' });
    for (const file of ['plain', 'link']) {
      outputOf(await get({ as: 'file', file }, kept, { workspaceDir }));
      expect(readFileSync(join(workspaceDir, file), 'utf8')).toBe('a');
    }
    expect(readFileSync(join(outside, 'victim'), 'utf8')).toBe('theirs');
  });
});

describe('artifact.get undone', () => {
  it('removes the file that it wrote, or puts back what was there', async () => {
    const kept = await write({ name: 'x', content: 'kept' });
    for (const before of [undefined, 'before']) {
      const workspaceDir = tempFolder('workspace');
      if (before !== undefined) writeFileSync(join(workspaceDir, 'x'), before);
      const input = { as: 'file', file: 'x' };
      const { recorded } = await get(input, kept, { workspaceDir });
      expect(readFileSync(join(workspaceDir, 'x'), 'utf8')).toBe('kept');
      const compensation = { reason: 'failed', output: undefined };
      await get(input, kept, { workspaceDir, checkpoint: recorded.checkpoint, compensation });
      expect(readdirSync(workspaceDir).filter((name) => name !== '.cronwright')).toEqual(
        before === undefined ? [] : ['x'],
      );
      if (before !== undefined) expect(readFileSync(join(workspaceDir, 'x'), 'utf8')).toBe(before);
    }
  });
});
