// The documents say what is: their links lead somewhere, their examples load, their commands exist, their files are there.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';
import { packageRoot } from '../../../src/base/package-root.ts';
import { runCommandLine } from '../../../src/cli/command-line.ts';
import { builtInPlugins } from '../../../src/steps/built-in-plugins.ts';
import { loadPlugins } from '../../../src/steps/load-plugins.ts';
import { memoryContext } from '../cli/memory-context.ts';

const read = (path: string): string => readFileSync(join(packageRoot, path), 'utf8');

const documents = [
  ...readdirSync(packageRoot),
  ...['docs', 'docs/adr'].flatMap((folder) =>
    readdirSync(join(packageRoot, folder)).map((name) => `${folder}/${name}`),
  ),
  ...readdirSync(join(packageRoot, 'plugins')).map((name) => `plugins/${name}/README.md`),
].filter((path) => path.endsWith('.md'));

/** What `[text](target)` and the path-like words of tables name, relative to the document. */
function linkedFiles(document: string): string[] {
  const links = [...read(document).matchAll(/\]\((?!https?:|#)([^)#\s]+)[^)]*\)/g)].flatMap(
    ([, target]) => target ?? [],
  );
  return links.map((target) => relative(packageRoot, join(packageRoot, dirname(document), target)));
}

describe('documents', () => {
  it('are these, at least', () => {
    expect(documents).toEqual(
      expect.arrayContaining([
        'README.md',
        'CHANGELOG.md',
        'CONTRIBUTING.md',
        'docs/ARCHITECTURE.md',
        'docs/API.md',
        'docs/CLI.md',
        'docs/CONFIGURATION.md',
        'docs/STEP-PROTOCOL.md',
        'docs/WRITING-A-PLUGIN.md',
        'docs/adr/0001-slots-last-as-long-as-the-run.md',
        'plugins/git/README.md',
        'plugins/shell/README.md',
      ]),
    );
  });

  it.each(documents)('%s links to files that are there', (document) => {
    expect(linkedFiles(document).filter((path) => !existsSync(join(packageRoot, path)))).toEqual([]);
  });

  it('README leads to every page of docs/, and names every step type that comes with it', async () => {
    const linked = linkedFiles('README.md');
    const pages = readdirSync(join(packageRoot, 'docs')).filter((name) => name.endsWith('.md'));
    expect(pages.map((name) => `docs/${name}`).filter((path) => !linked.includes(path))).toEqual([]);
    const { plugins } = await loadPlugins({ builtIn: builtInPlugins, listed: [], baseDir: packageRoot });
    const readme = read('README.md');
    const types = plugins.flatMap(({ definition }) =>
      Object.keys(definition.steps).map((step) => `${definition.name}.${step}`),
    );
    expect(types.length).toBeGreaterThan(15);
    expect(types.filter((type) => !readme.includes(`\`${type}\``))).toEqual([]);
  });

  it('CONTRIBUTING says of every page of docs/ what it is for', () => {
    const pages = readdirSync(join(packageRoot, 'docs')).filter((name) => name.endsWith('.md'));
    expect(pages.filter((name) => !read('CONTRIBUTING.md').includes(`docs/${name}`))).toEqual([]);
  });

  it('name files and folders of the program that are there', () => {
    const named = ['README.md', 'CONTRIBUTING.md', 'docs/ARCHITECTURE.md'].flatMap((document) =>
      [...read(document).matchAll(/`((?:src|test|config|plugins|docs|\.ci)\/[\w./-]+)`/g)].flatMap(
        ([, path]) => path ?? [],
      ),
    );
    expect(named.length).toBeGreaterThan(20);
    expect(named.filter((path) => !existsSync(join(packageRoot, path)))).toEqual([]);
  });
});

describe('README', () => {
  const readme = read('README.md');
  const blocks = (language: string): string[] =>
    [...readme.matchAll(new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``, 'g'))].flatMap(([, text]) => text ?? []);

  it('starts with exactly two lines', () => {
    expect(blocks('sh')[0]).toBe('npm ci && npm start\nnpm ci && npm test\n');
  });

  it('has no pipeline and no settings that would not load', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'cronwright-readme-'));
    try {
      mkdirSync(join(folder, 'pipelines'));
      const pipelines = blocks('yaml').filter((text) => /^id:/m.test(text));
      const settings = blocks('yaml').filter((text) => !pipelines.includes(text));
      expect([pipelines.length, settings.length]).toEqual([1, 1]);
      writeFileSync(join(folder, 'cronwright.yaml'), settings.join('\n'));
      for (const [index, text] of pipelines.entries()) writeFileSync(join(folder, 'pipelines', `${index}.yaml`), text);
      const context = memoryContext();
      const exitCode = await runCommandLine(context, ['check', '--config', folder]);
      expect(context.out() + context.err()).toContain('0 problems, 0 warnings');
      expect(exitCode).toBe(0);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('names only commands and options that exist', async () => {
    const commands = blocks('sh').flatMap((text) =>
      [...text.matchAll(/npx cronwright ([^#\n]+)/g)].map(([, rest]) => rest ?? ''),
    );
    expect(commands.length).toBeGreaterThan(8);
    for (const command of commands) {
      const [name = '', ...words] = command.trim().split(/\s+/);
      const context = memoryContext();
      await runCommandLine(context, [name, '--help']);
      expect(context.out(), command).toContain(`cronwright ${name}`);
      for (const option of words.filter((word) => word.startsWith('--')))
        expect(context.out(), command).toContain(option);
    }
  });
});

describe('Dockerfile', () => {
  const dockerfile = read('Dockerfile');
  const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(
    ([, sources]) => sources?.split(' ') ?? [],
  );

  it('copies only what is there and reaches the build', () => {
    const allowed = read('.dockerignore')
      .split('\n')
      .flatMap((line) => (line.startsWith('!') ? [line.slice(1)] : []));
    expect(copied.length).toBeGreaterThan(5);
    for (const source of copied) {
      expect(existsSync(join(packageRoot, source)), source).toBe(true);
      expect(
        allowed.some((entry) => source === entry || source.startsWith(`${entry}/`)),
        source,
      ).toBe(true);
    }
  });

  it.each([
    [200, 0],
    [503, 1],
  ])('calls a daemon that answers %i healthy: exit code %i', async (status, exitCode) => {
    const server = createServer((_request, response) => response.writeHead(status).end());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const [, exec = '[]'] = /^HEALTHCHECK[\s\S]*?CMD (\[.*\])$/m.exec(dockerfile) ?? [];
    const [program = '', ...args] = JSON.parse(exec) as string[];
    const check = spawn(program, args, { env: { PATH: process.env.PATH, CRONWRIGHT_PORT: String(port) } });
    expect(await new Promise((resolve) => check.on('exit', resolve))).toBe(exitCode);
    server.close();
  });

  it('copies every folder that the package ships', () => {
    const { files } = JSON.parse(read('package.json')) as { files: string[] };
    // What people read is not read in a container.
    const forPeople = ['CHANGELOG.md', 'CONTRIBUTING.md', 'plugins/*/README.md'];
    const shipped = files.filter((path) => path !== 'dist' && !path.startsWith('deploy/') && !forPeople.includes(path));
    expect(copied).toEqual(expect.arrayContaining(shipped));
  });
});
