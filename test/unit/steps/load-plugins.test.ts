// Plugins written to a folder outside the package: what loads, and what is said of those that do not.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { packageRoot } from '../../../src/base/package-root.ts';
import { builtInPlugins } from '../../../src/steps/built-in-plugins.ts';
import { loadPlugins } from '../../../src/steps/load-plugins.ts';
import { createRegistry } from '../../../src/steps/registry.ts';
import { outputOf, runStep } from '../../support/step-context.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cronwright plugins ü-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const anySchema = `{ '~standard': { version: 1, vendor: 'own', validate: (value) => ({ value }) } }`;
const source = (name: string, extra = '') => `
import { definePlugin, defineStep, StepError } from 'cronwright/plugin';
${extra}
const any = ${anySchema};
export default definePlugin({
  name: '${name}', version: '1.0.0', apiVersion: 1,
  steps: { go: defineStep({ input: any, output: any, isolation: 'inline', run: (ctx, input) => ({ got: input, error: new StepError('item', 'x').class }) }) },
});`;

function write(path: string, text: string): void {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), text);
}

const load = (...listed: string[]) => loadPlugins({ builtIn: {}, listed, baseDir: folder });

describe('loadPlugins', () => {
  it.each([
    ['typed.ts', 'type Name = string; const name: Name = "typed"; void name;'],
    ['plain.mjs', ''],
    ['folder/index.ts', ''],
  ])('loads %s from outside the package and resolves the plugin API', async (path, extra) => {
    write(path, source('mine', extra));
    const { plugins, problems } = await load(`./${path.replace('/index.ts', '')}`);
    expect(problems).toEqual([]);
    const step = createRegistry(plugins).get('mine.go');
    if (!step) throw new Error('not registered');
    expect(outputOf(await runStep(step, { a: 1 }))).toEqual({ got: { a: 1 }, error: 'item' });
    expect(step.source).toMatchObject({ kind: 'listed', file: join(folder, path) });
  });

  it('loads packages by name, ESM and CommonJS', async () => {
    write(
      'node_modules/@acme/esm/package.json',
      '{"name":"@acme/esm","type":"module","exports":{"import":"./main.js"}}',
    );
    write('node_modules/@acme/esm/main.js', source('esm'));
    write('node_modules/old/package.json', '{"name":"old","main":"main.cjs"}');
    write(
      'node_modules/old/main.cjs',
      `const any = ${anySchema}; module.exports = { name: 'old', version: '1.0.0', apiVersion: 1, steps: { go: { input: any, output: any, run: () => 1 } } };`,
    );
    const { plugins, problems } = await load('@acme/esm', 'old');
    expect(problems).toEqual([]);
    expect(plugins.map(({ definition }) => definition.name)).toEqual(['esm', 'old']);
  });

  it('reports each broken plugin with its cause and loads the others', async () => {
    write('throws.ts', `throw new Error('no licence');`);
    write('syntax.ts', 'export default {{{');
    write('empty.mjs', 'export const nothing = 1;');
    write('shape.ts', `export default { name: 'shape', version: '1.0.0', apiVersion: 1, steps: { go: { run: 1 } } };`);
    write('newer.ts', `export default { name: 'newer', version: '1.0.0', apiVersion: 2, steps: {} };`);
    write('needs.mjs', `import 'not-installed-anywhere'; export default 1;`);
    write('good.ts', source('good'));
    write('again.ts', source('good'));
    const listed = ['throws', 'syntax', 'empty.m', 'shape', 'newer', 'needs.m', 'good', 'again'].map((name) =>
      name.endsWith('.m') ? `./${name}js` : `./${name}.ts`,
    );
    const { plugins, problems } = await load(...listed, './absent.ts', 'no-such-package');
    expect(plugins.map(({ definition }) => definition.name)).toEqual(['good']);
    const said = (plugin: string) =>
      problems
        .filter((problem) => problem.plugin === plugin)
        .map(({ message }) => message)
        .join('\n');
    expect(said('./throws.ts')).toBe('plugin ./throws.ts cannot be loaded: no licence');
    expect(said('./syntax.ts')).toContain('plugin ./syntax.ts cannot be loaded');
    expect(said('./empty.mjs')).toContain('the default export is missing');
    expect(said('./shape.ts')).toContain('steps.go.run is of type number');
    expect(said('./shape.ts')).toContain('steps.go.input is missing');
    expect(said('./newer.ts')).toContain('apiVersion is 2');
    expect(said('./needs.mjs')).toContain('not-installed-anywhere');
    expect(said('./again.ts')).toContain('name good is taken by ./good.ts');
    expect(said('./absent.ts')).toContain(`there is no file ${join(folder, 'absent.ts')}`);
    expect(said('no-such-package')).toContain('no-such-package');
  });

  it('reports a built-in plugin that cannot be imported', async () => {
    const { problems } = await loadPlugins({
      builtIn: { bad: () => Promise.reject(new Error('gone')) },
      listed: [],
      baseDir: folder,
    });
    expect(problems).toEqual([{ plugin: 'bad', message: 'plugin bad cannot be loaded: gone' }]);
  });
});

describe('built-in plugins', () => {
  it('are exactly the folders under plugins/, each named like its folder', async () => {
    const folders = readdirSync(join(packageRoot, 'plugins'), { withFileTypes: true }).filter((entry) =>
      entry.isDirectory(),
    );
    expect(Object.keys(builtInPlugins).sort()).toEqual(folders.map(({ name }) => name).sort());
    const { plugins, problems } = await loadPlugins({ builtIn: builtInPlugins, listed: [], baseDir: folder });
    expect(problems).toEqual([]);
    expect(plugins.map(({ definition, source: { specifier } }) => [specifier, definition.name])).toEqual(
      Object.keys(builtInPlugins).map((name) => [name, name]),
    );
  });
});
