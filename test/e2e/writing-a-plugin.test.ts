// The plugin page, followed word for word from an empty folder, with the packed Cronwright; then what the package has to hold.
import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { packageRoot } from '../../src/base/package-root.ts';
import { followPage, readPage, runCommands } from '../support/follow-page.ts';
import { hasPython } from '../support/has-python.ts';
import { tempFolder } from '../support/temp-folder.ts';

const page = readPage(readFileSync(join(packageRoot, 'docs/WRITING-A-PLUGIN.md'), 'utf8'));
const folder = tempFolder('author');

/** What a reader has in the shell; nothing that this test run was started with. */
const env: Record<string, string> = {
  PATH: process.env.PATH ?? '',
  HOME: process.env.HOME ?? '',
  CRONWRIGHT: packageRoot,
  NO_COLOR: '1',
  npm_config_prefer_offline: 'true',
  npm_config_audit: 'false',
  npm_config_fund: 'false',
  npm_config_update_notifier: 'false',
  // Packing builds first. A build that is newer than its sources is not made twice.
  ...(isBuilt() ? { npm_config_ignore_scripts: 'true' } : {}),
};

function isBuilt(): boolean {
  try {
    const built = statSync(join(packageRoot, 'dist/src/main.js')).mtimeMs;
    const sources = ['src', 'plugins', 'package.json', 'tsconfig.json', 'tsconfig.build.json'];
    return sources.every((path) => newestIn(join(packageRoot, path)) < built);
  } catch {
    return false;
  }
}

function newestIn(path: string): number {
  const { mtimeMs } = statSync(path);
  if (!statSync(path).isDirectory()) return mtimeMs;
  const inside = readdirSync(path, { recursive: true }).map((name) => statSync(join(path, String(name))).mtimeMs);
  return Math.max(mtimeMs, ...inside);
}

describe('docs/WRITING-A-PLUGIN.md', () => {
  it('ends in a green run of the new step', { timeout: 600_000 }, async () => {
    expect(page.filter(({ kind }) => kind === 'write').map((step) => 'path' in step && step.path)).toEqual([
      'hello/index.ts',
      'hello/index.test.ts',
      'hello/config/pipelines/hello.yaml',
    ]);
    const [, first = '', last = ''] = await followPage(page, { folder, env });
    expect(first).toContain('greet  completed');
    expect(first).toMatch(/^# pass 4$/m);
    expect(last).toMatch(/^# pass 2$/m);
    expect(last).toMatch(/^# fail 0$/m);
    expect(last).toContain('0 problems, 0 warnings');
    expect(last).toContain('count  completed');
    expect(last).toMatch(/^completed after /m);
  });

  it('writes code whose types are right', { timeout: 120_000 }, () => {
    const files = ['hello/index.ts', 'hello/index.test.ts'].map((file) => join(folder, file));
    const options: ts.CompilerOptions = {
      module: ts.ModuleKind.NodeNext,
      moduleResolution: ts.ModuleResolutionKind.NodeNext,
      target: ts.ScriptTarget.ES2023,
      strict: true,
      noEmit: true,
      skipLibCheck: true,
      allowImportingTsExtensions: true,
      types: ['node'],
      typeRoots: [join(packageRoot, 'node_modules/@types')],
    };
    const found = ts.getPreEmitDiagnostics(ts.createProgram(files, options));
    expect(found.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))).toEqual([]);
  });

  it.each([
    ['nodenext', ts.ModuleKind.NodeNext, ts.ModuleResolutionKind.NodeNext],
    ['bundler', ts.ModuleKind.ESNext, ts.ModuleResolutionKind.Bundler],
  ])('finds the types where modules are resolved by %s', (_, module, moduleResolution) => {
    for (const [name, file] of [
      ['cronwright/plugin', 'api.d.ts'],
      ['cronwright/testing', 'testing/test-step.d.ts'],
      ['cronwright/typescript', 'testing/register-typescript.d.ts'],
    ] as const) {
      const from = join(folder, 'hello/index.ts');
      const format = ts.ModuleKind.ESNext;
      const { resolvedModule } = ts.resolveModuleName(
        name,
        from,
        { module, moduleResolution },
        ts.sys,
        undefined,
        undefined,
        format,
      );
      expect(resolvedModule?.resolvedFileName).toBe(join(folder, 'node_modules/cronwright/dist/src/steps', file));
    }
  });
});

describe('the packed Cronwright', () => {
  it('takes a plugin as a package, by its name', { timeout: 60_000 }, async () => {
    cpSync(join(folder, 'hello'), join(folder, 'node_modules/cronwright-plugin-hello'), { recursive: true });
    mkdirSync(join(folder, 'by-name/pipelines'), { recursive: true });
    writeFileSync(join(folder, 'by-name/cronwright.yaml'), 'plugins: [cronwright-plugin-hello]\n');
    cpSync(join(folder, 'hello/config/pipelines'), join(folder, 'by-name/pipelines'), { recursive: true });
    const said = await runCommands('npx cronwright check --config by-name', { folder, env });
    expect(said).toContain('0 problems, 0 warnings');
  });

  it.each(['shell', ...(hasPython() ? ['python'] : [])])('writes a plugin in %s whose own tests pass', {
    timeout: 60_000,
  }, async (language) => {
    const commands = `npx cronwright plugin new in-${language} --language ${language}\nnpm test --prefix in-${language}`;
    const said = await runCommands(commands, { folder, env });
    expect(said).toMatch(/^# pass [23]$/m);
    expect(said).toMatch(/^# fail 0$/m);
  });

  it('starts, says where it listens, shows its pages and ends', { timeout: 120_000 }, async () => {
    const daemon = spawn('npx', ['cronwright', 'start', '--port', '0', '--config', 'hello/config'], {
      cwd: folder,
      env,
      // Of its own, so that the signal reaches the daemon behind npx.
      detached: true,
    });
    const ended = new Promise<number | null>((resolve) => daemon.on('close', resolve));
    let url: string | undefined;
    for await (const line of createInterface(daemon.stdout)) {
      const { msg, ...rest } = JSON.parse(line) as { msg: string; url?: string };
      if (msg === 'listening') url = rest.url;
      if (url !== undefined) break;
    }
    try {
      for (const path of ['/healthz', '/', '/assets/cronwright.css', '/api/openapi.json']) {
        expect([path, (await fetch(new URL(path, url))).status]).toEqual([path, 200]);
      }
      const steps = await (await fetch(new URL('/api/v1/pipelines/hello', url))).text();
      expect(steps).toContain('hello.count_words');
    } finally {
      if (daemon.pid !== undefined) process.kill(-daemon.pid, 'SIGTERM');
      daemon.stdout.resume();
      await ended;
    }
  });

  it('holds documents, examples, migrations and pages, and nothing of the tests', () => {
    const root = join(folder, 'node_modules/cronwright');
    const held = readdirSync(root, { recursive: true }).map(String);
    for (const path of [
      'README.md',
      'docs/WRITING-A-PLUGIN.md',
      'docs/STEP-PROTOCOL.md',
      'examples/plugin-python/cronwright_step.py',
      'dist/plugins/git/index.js',
      'dist/src/steps/process-host.js',
      'src/db/migrations/0001_core.sql',
      'src/http/assets/cronwright.css',
      'config/cronwright.yaml',
      'plugins/notify/README.md',
      'deploy/README.md',
      'deploy/prometheus/rules.yaml',
    ]) {
      expect(held, path).toContain(path);
    }
    const foreign = held.filter((path) => /^(test|bench|coverage|data)\/|__pycache__|(^|\/)\.env/.test(path));
    expect(foreign).toEqual([]);
  });
});
