// file.write and file.read on a real file system, with paths that try to leave it.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
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

describe('file.write undone', () => {
  type Ran = Awaited<ReturnType<typeof write>>;

  /** Calls `compensate` with what the attempt left, or with no output, as after a crash. */
  function undo(ran: Ran, input: Record<string, unknown>, hasOutput = true): Promise<Ran> {
    const { workspaceDir, dataDir, recorded } = ran;
    const output = hasOutput && ran.result.kind === 'completed' ? ran.result.output : undefined;
    return write(input, {
      workspaceDir,
      dataDir,
      artifacts: recorded.artifacts,
      compensation: { reason: 'failed', output },
      ...(recorded.checkpoint === undefined ? {} : { checkpoint: recorded.checkpoint }),
    });
  }

  async function undone(ran: Ran, input: Record<string, unknown>, hasOutput = true): Promise<string[]> {
    const first = await undo(ran, input, hasOutput);
    outputOf(first);
    // What is undone can be undone again.
    outputOf(
      await undo(
        { ...ran, recorded: { ...ran.recorded, ...first.recorded, artifacts: ran.recorded.artifacts } },
        input,
      ),
    );
    return first.recorded.log.map(({ message }) => message);
  }

  it.each(['workspace', 'files'])('removes a file that it made in %s, and the folders it made', async (target) => {
    const [workspaceDir, dataDir] = [folder(), folder()];
    const root = target === 'workspace' ? workspaceDir : join(dataDir, 'files');
    mkdirSync(join(root, 'a'), { recursive: true });
    const ran = await write({ path: 'a/b/c/x', target }, { workspaceDir, dataDir });
    expect(existsSync(join(root, 'a/b/c/x'))).toBe(true);
    await undone(ran, { path: 'a/b/c/x', target });
    expect(existsSync(join(root, 'a/b'))).toBe(false);
    expect(existsSync(join(root, 'a'))).toBe(true);
  });

  it.each(['workspace', 'files'])('puts back what it replaced in %s, with its mode', async (target) => {
    const [workspaceDir, dataDir] = [folder(), folder()];
    const root = target === 'workspace' ? workspaceDir : join(dataDir, 'files');
    mkdirSync(root, { recursive: true });
    writeFileSync(join(root, 'x'), Buffer.from([0, 255, 1]), { mode: 0o640 });
    const ran = await write({ path: 'x', target }, { workspaceDir, dataDir });
    expect(await undone(ran, { path: 'x', target }, false)).toContain('file put back');
    expect([...readFileSync(join(root, 'x'))]).toEqual([0, 255, 1]);
    expect(statSync(join(root, 'x')).mode & 0o777).toBe(0o640);
  });

  it('puts a file of files back although the workspace is gone', async () => {
    const dataDir = folder();
    mkdirSync(join(dataDir, 'files'));
    writeFileSync(join(dataDir, 'files/x'), 'before');
    const ran = await write({ path: 'x', target: 'files' }, { dataDir });
    rmSync(ran.workspaceDir, { recursive: true });
    await undone(ran, { path: 'x', target: 'files' });
    expect(readFileSync(join(dataDir, 'files/x'), 'utf8')).toBe('before');
  });

  it('leaves a file that somebody changed since, and says so', async () => {
    const ran = await write({ path: 'd/x' });
    writeFileSync(join(ran.workspaceDir, 'd/x'), 'theirs');
    expect((await undone(ran, { path: 'd/x' })).join()).toContain('somebody has changed or removed');
    expect(readFileSync(join(ran.workspaceDir, 'd/x'), 'utf8')).toBe('theirs');
  });

  it('leaves a folder that it made where others put something into it', async () => {
    const ran = await write({ path: 'd/x' });
    writeFileSync(join(ran.workspaceDir, 'd/theirs'), '');
    await undone(ran, { path: 'd/x' });
    expect(readdirSync(join(ran.workspaceDir, 'd'))).toEqual(['theirs']);
  });

  it('does nothing where the file had this content before it', async () => {
    const workspaceDir = folder();
    writeFileSync(join(workspaceDir, 'x'), 'hello\n');
    const ran = await write({ path: 'x' }, { workspaceDir });
    await undone(ran, { path: 'x' }, false);
    expect(readFileSync(join(workspaceDir, 'x'), 'utf8')).toBe('hello\n');
  });

  it('puts back a link that it replaced', async () => {
    const workspaceDir = folder();
    symlinkSync('nowhere', join(workspaceDir, 'x'));
    const ran = await write({ path: 'x' }, { workspaceDir });
    await undone(ran, { path: 'x' });
    expect(readlinkSync(join(workspaceDir, 'x'))).toBe('nowhere');
  });

  it('knows what was there before its first try, whatever later tries wrote', async () => {
    const workspaceDir = folder();
    writeFileSync(join(workspaceDir, 'x'), 'before');
    const first = await write({ path: 'x', content: '1' }, { workspaceDir });
    const again = await write(
      { path: 'x', content: '1' },
      { workspaceDir, checkpoint: first.recorded.checkpoint ?? null },
    );
    expect(outputOf(again).changed).toBe(true);
    const second = await write(
      { path: 'x', content: '2' },
      { workspaceDir, checkpoint: first.recorded.checkpoint ?? null },
    );
    await undone(second, { path: 'x', content: '2' });
    expect(readFileSync(join(workspaceDir, 'x'), 'utf8')).toBe('before');
  });

  it('is undone where it crashed between the note and the writing', async () => {
    const workspaceDir = folder();
    const noted = await write({ path: 'a/x' }, { workspaceDir });
    rmSync(join(workspaceDir, 'a'), { recursive: true });
    await undone(noted, { path: 'a/x' }, false);
    expect(readdirSync(workspaceDir)).toEqual([]);
  });

  it('takes no copy of what a link leads to outside of the workspace', async () => {
    const [workspaceDir, outside] = [folder(), folder()];
    writeFileSync(join(outside, 'x'), 'secret');
    symlinkSync(outside, join(workspaceDir, 'out'));
    const ran = await write({ path: 'out/x' }, { workspaceDir });
    expect(errorOf(ran).name).toBe('PathEscapes');
    expect(ran.recorded.checkpoint).toBeUndefined();
    expect(readdirSync(workspaceDir)).toEqual(['out']);
  });

  it('says where a replaced file is too large to be kept, and leaves it', async () => {
    const dataDir = folder();
    mkdirSync(join(dataDir, 'files'));
    writeFileSync(join(dataDir, 'files/x'), Buffer.alloc(8_388_609));
    const ran = await write({ path: 'x', target: 'files' }, { dataDir });
    expect(ran.recorded.log.map(({ message }) => message).join()).toContain('too large to be kept');
    expect((await undone(ran, { path: 'x', target: 'files' })).join()).toContain('was not kept');
    expect(readFileSync(join(dataDir, 'files/x'), 'utf8')).toBe('hello\n');
  });
});
