// file.write and file.read on a real file system, with paths that try to leave it.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { errorOf, type Overrides, outputOf, runStep } from '../support/step-context.ts';
import { tempFolder } from '../support/temp-folder.ts';

const write = (input: Record<string, unknown>, overrides?: Overrides) =>
  runStep('file.write', { content: 'hello\n', ...input }, overrides);
const folder = () => tempFolder('file');

describe('file.write', () => {
  it('writes into the workspace and makes the folders above', async () => {
    const ran = await write({ path: 'a/b ü/c.txt' });
    expect(outputOf(ran)).toEqual({
      path: 'a/b ü/c.txt',
      bytes: 6,
      sha256: createHash('sha256').update('hello\n').digest('hex'),
      changed: true,
    });
    expect(readFileSync(join(ran.workspaceDir, 'a/b ü/c.txt'), 'utf8')).toBe('hello\n');
    expect(readdirSync(join(ran.workspaceDir, 'a/b ü'))).toEqual(['c.txt']);
  });

  it('writes below the folder files of the data directory', async () => {
    const ran = await write({ path: 'report.md', target: 'files' });
    expect(readFileSync(join(ran.dataDir, 'files/report.md'), 'utf8')).toBe('hello\n');
  });

  it('says whether anything changed', async () => {
    const workspaceDir = folder();
    const changed = async (content: string) => outputOf(await write({ path: 'x', content }, { workspaceDir })).changed;
    expect([await changed('1'), await changed('1'), await changed('2')]).toEqual([true, false, true]);
  });

  it('writes bytes', async () => {
    const ran = await write({ path: 'x.bin', content: '/wD+', encoding: 'base64' });
    expect([...readFileSync(join(ran.workspaceDir, 'x.bin'))]).toEqual([255, 0, 254]);
  });

  it.each([
    '../x',
    '/etc/x',
    'a/../../x',
    'a//x',
    './x',
    'a\\x',
    '..',
    'a/..',
    'x\0y',
    '',
  ])('refuses the path %j', async (path) => {
    expect(errorOf(await write({ path }))).toMatchObject({ name: 'ValidationError', class: 'fatal' });
  });

  it('lets no symbolic link lead out', async () => {
    const [workspaceDir, outside] = [folder(), folder()];
    symlinkSync(outside, join(workspaceDir, 'out'));
    mkdirSync(join(workspaceDir, 'in'));
    symlinkSync('in', join(workspaceDir, 'alias'));
    expect(errorOf(await write({ path: 'out/x' }, { workspaceDir }))).toMatchObject({
      name: 'PathEscapes',
      class: 'fatal',
    });
    expect(errorOf(await write({ path: 'out/deep/x' }, { workspaceDir })).name).toBe('PathEscapes');
    expect(readdirSync(outside)).toEqual([]);
    outputOf(await write({ path: 'alias/x' }, { workspaceDir }));
    expect(existsSync(join(workspaceDir, 'in/x'))).toBe(true);
  });

  it('replaces a link itself instead of what it leads to', async () => {
    const [workspaceDir, outside] = [folder(), folder()];
    writeFileSync(join(outside, 'victim'), 'hello\n');
    symlinkSync(join(outside, 'victim'), join(workspaceDir, 'x'));
    expect(outputOf(await write({ path: 'x', content: 'mine' }, { workspaceDir })).changed).toBe(true);
    expect(readFileSync(join(outside, 'victim'), 'utf8')).toBe('hello\n');
  });

  it('replaces a named pipe without waiting for someone to write into it', async () => {
    const workspaceDir = folder();
    execFileSync('sh', ['-c', 'mkfifo x'], { cwd: workspaceDir });
    expect(outputOf(await write({ path: 'x', content: '' }, { workspaceDir })).changed).toBe(true);
  });

  it('leaves the old content and nothing else when it cannot replace a file', async () => {
    const workspaceDir = folder();
    mkdirSync(join(workspaceDir, 'x/y'), { recursive: true });
    expect(errorOf(await write({ path: 'x' }, { workspaceDir })).class).toBe('fatal');
    expect(readdirSync(workspaceDir)).toEqual(['x']);
    writeFileSync(join(workspaceDir, 'plain'), '');
    expect(errorOf(await write({ path: 'plain/x' }, { workspaceDir })).name).toBe('NotAFolder');
  });

  it('writes to the workspace but not to files in a dry run', async () => {
    const ran = await write({ path: 'x', target: 'files' }, { dryRun: true });
    expect(outputOf(ran)).toMatchObject({ changed: false, bytes: 6 });
    expect(existsSync(join(ran.dataDir, 'files/x'))).toBe(false);
    const inside = await write({ path: 'x' }, { dryRun: true });
    expect(existsSync(join(inside.workspaceDir, 'x'))).toBe(true);
  });
});

describe('file.read', () => {
  it('reads what was written, as text or base64', async () => {
    const { workspaceDir } = await write({ path: 'a/x', content: 'ü' });
    const read = (input: Record<string, unknown>) => runStep('file.read', { path: 'a/x', ...input }, { workspaceDir });
    expect(outputOf(await read({}))).toMatchObject({ content: 'ü', bytes: 2 });
    expect(outputOf(await read({ encoding: 'base64' }))).toMatchObject({ content: 'w7w=' });
    expect(errorOf(await read({ max_bytes: 1 }))).toMatchObject({ name: 'FileTooLarge', class: 'fatal' });
    expect(errorOf(await read({ path: 'a' })).name).toBe('NotAFile');
    expect(errorOf(await read({ path: 'a/missing' }))).toMatchObject({
      name: 'FileNotFound',
      message: 'there is no file a/missing',
    });
  });

  it('does not follow a link out', async () => {
    const workspaceDir = folder();
    symlinkSync('/etc/hostname', join(workspaceDir, 'x'));
    expect(errorOf(await runStep('file.read', { path: 'x' }, { workspaceDir })).name).toBe('PathEscapes');
  });
});
