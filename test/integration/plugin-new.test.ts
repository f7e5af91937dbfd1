// `cronwright plugin new`: what it writes loads, runs, passes its own tests and is left alone the second time.
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packageRoot } from '../../src/base/package-root.ts';
import { createDaemonFolder, type DaemonFolder } from '../support/daemon-process.ts';
import { hasPython } from '../support/has-python.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { cronwright } from '../unit/cli/memory-context.ts';

const programEnv = { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '' };
let databases: DaemonFolder;
let dataDir: string;
beforeAll(async () => {
  databases = await createDaemonFolder();
  dataDir = await databases.dataDir('plugins');
});
afterAll(() => databases.remove());

/** A folder in which the packages of the checkout are found. */
function projectFolder(): string {
  const cwd = tempFolder('author');
  symlinkSync(join(packageRoot, 'node_modules'), join(cwd, 'node_modules'));
  return cwd;
}

async function check(config: string, cwd: string): Promise<void> {
  const checked = await cronwright(['check', '--config', config], { cwd });
  expect(checked.out + checked.err).toContain('0 problems, 0 warnings in');
}

describe('plugin new', () => {
  it.each([
    ['ts', ['index.ts', 'index.test.ts', 'tsconfig.json']],
    ['python', ['plugin.yaml', 'steps.py', 'cronwright_step.py', 'steps.test.js']],
    ['shell', ['plugin.yaml', 'disk-space.sh', 'steps.test.js']],
  ])('writes a plugin in %s and a pipeline that uses it', async (language, files) => {
    const cwd = projectFolder();
    const made = await cronwright(['plugin', 'new', 'my-tool', '--language', language, '--json'], { cwd });
    expect(made.err).toBe('');
    const answer = JSON.parse(made.out) as { files: string[]; folder: string; next: string[] };
    expect(answer).toMatchObject({ plugin: 'my-tool', language, folder: join(cwd, 'my-tool') });
    expect(answer.files).toEqual(
      expect.arrayContaining([
        ...files,
        'README.md',
        'package.json',
        'config/cronwright.yaml',
        'config/pipelines/my-tool.yaml',
      ]),
    );
    expect(answer.next[2]).toBe('npx cronwright run my-tool --config my-tool/config');
    for (const file of answer.files) {
      expect(readFileSync(join(cwd, 'my-tool', file), 'utf8'), file).not.toMatch(/\bhello(-python|-shell)?\b(?!\/)/);
    }
    await check('my-tool/config', cwd);
  });

  it('writes plugins that run, in all languages in one pipeline', async () => {
    const cwd = projectFolder();
    const languages = hasPython() ? ['ts', 'shell', 'python'] : ['ts', 'shell'];
    for (const language of languages)
      await cronwright(['plugin', 'new', `in-${language}`, '--language', language], { cwd });
    mkdirSync(join(cwd, 'config/pipelines'), { recursive: true });
    const plugins = languages.map((language) => (language === 'ts' ? '../in-ts/index.ts' : `../in-${language}`));
    writeFileSync(join(cwd, 'config/cronwright.yaml'), `plugins: ${JSON.stringify(plugins)}\n`);
    const steps = { ts: 'in-ts.greet', shell: 'in-shell.disk_space', python: 'in-python.greet' };
    const uses = Object.entries(steps).filter(([language]) => languages.includes(language));
    const lines = uses.map(([id, type]) => `  - { id: ${id}, uses: ${type}, with: {} }\n`);
    writeFileSync(join(cwd, 'config/pipelines/all.yaml'), `id: all\nsteps:\n${lines.join('')}`);
    await check('config', cwd);
    const ran = await cronwright(['run', 'all', '--data-dir', dataDir, '--json'], { cwd, env: programEnv });
    expect(ran.err).toBe('');
    const { run } = JSON.parse(ran.out) as { run: { state: string } };
    expect(run.state, ran.out).toBe('completed');
  });

  it('tells people what it made and what to type next', async () => {
    const cwd = projectFolder();
    const { out, code } = await cronwright(['plugin', 'new', 'tool', '--dir', 'plugins/tool'], { cwd });
    expect(code).toBe(0);
    expect(out).toContain('npm test --prefix plugins/tool\n');
    expect(out).toContain('npx cronwright check --config plugins/tool/config\n');
    expect(readFileSync(join(cwd, 'plugins/tool/README.md'), 'utf8')).toContain(
      'run tool --config plugins/tool/config',
    );
  });

  it('writes a plugin whose mistakes are told with the place where an editor opens them', async () => {
    const cwd = projectFolder();
    await cronwright(['plugin', 'new', 'tool', '--language', 'shell'], { cwd });
    const manifest = join(cwd, 'tool/plugin.yaml');
    writeFileSync(manifest, readFileSync(manifest, 'utf8').replace('type: boolean', 'type: bool'));
    const { out, code } = await cronwright(['check', '--config', 'tool/config'], { cwd });
    expect(code).toBe(2);
    expect(out).toMatch(/^tool\/plugin\.yaml:16:\d+: steps\.disk_space\.output\.properties\.low\.type: .*not a type/m);
  });

  it('overwrites nothing', async () => {
    const cwd = projectFolder();
    mkdirSync(join(cwd, 'tool'));
    writeFileSync(join(cwd, 'tool/notes.txt'), 'mine');
    const { err, code } = await cronwright(['plugin', 'new', 'tool'], { cwd });
    expect(code).toBe(1);
    expect(err).toContain('is there already and not empty');
    expect(existsSync(join(cwd, 'tool/index.ts'))).toBe(false);
  });

  it.each([
    ['My Tool', 'a small letter'],
    ['x'.repeat(65), 'at most 64'],
    ['../tool', 'a small letter'],
    ['git', 'no built-in plugin'],
  ])('refuses the name %s', async (name, expected) => {
    const cwd = projectFolder();
    const { err, code } = await cronwright(['plugin', 'new', name], { cwd });
    expect(code).toBe(2);
    expect(err).toContain(expected);
    expect(existsSync(join(cwd, name))).toBe(false);
  });

  it('knows three languages', async () => {
    const { err, code } = await cronwright(['plugin', 'new', 'tool', '--language', 'perl'], { cwd: projectFolder() });
    expect(code).toBe(2);
    expect(err).toContain('one of: ts, python, shell');
  });
});

describe('the examples as they lie in the checkout', () => {
  it.each(['plugin-hello', 'plugin-python', 'plugin-shell'])('%s is sound', async (folder) => {
    await check(join('examples', folder, 'config'), packageRoot);
  });
});
