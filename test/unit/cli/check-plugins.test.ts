// `cronwright check` on plugins that cannot be used: each is told once, at its place in the settings.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { tempFolder } from '../../support/temp-folder.ts';
import { cronwright } from './memory-context.ts';

/** The lines that `check` prints of a configuration with these plugins and step types. */
async function check(plugins: string[], uses: string[], files: Record<string, string> = {}): Promise<string[]> {
  const folder = tempFolder('check-plugins');
  mkdirSync(join(folder, 'pipelines'));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  writeFileSync(join(folder, 'cronwright.yaml'), ['plugins:', ...plugins.map((one) => `  - ${one}`), ''].join('\n'));
  const steps = uses.map((one, index) => `  - id: s${index}\n    uses: ${one}\n`);
  writeFileSync(join(folder, 'pipelines/a.yaml'), `id: a\nsteps:\n${steps.join('')}`);
  const { out, code } = await cronwright(['check', '--config', '.'], { cwd: folder });
  expect(code).toBe(2);
  return out
    .trim()
    .split('\n')
    .map((line) => line.replaceAll(`${folder}/`, ''));
}

const good = (name: string) =>
  `const any = { '~standard': { version: 1, vendor: 'own', validate: (value) => ({ value }) } };
   export default { name: '${name}', version: '1.0.0', apiVersion: 1, steps: {
     go: { input: any, output: any, inputJsonSchema: {}, outputJsonSchema: {}, run: () => 1 } } };`;

describe('check', () => {
  it('says where a plugin is listed that cannot be loaded, on one line, and not of each use that it is unknown', async () => {
    const lines = await check(
      ['./report.ts', 'no-such-package'],
      ['report.build', 'no-such-package.go', 'reprot.build'],
    );
    expect(lines.slice(0, -2)).toEqual([
      'cronwright.yaml:2:5: plugins[0]: plugin report.ts cannot be loaded: there is no file report.ts',
      "cronwright.yaml:3:5: plugins[1]: plugin no-such-package cannot be loaded: Cannot find module 'no-such-package'",
      expect.stringMatching(/^pipelines\/a\.yaml:8:11: steps\[2\]\.uses: unknown step type \(got reprot\.build/),
    ]);
  });

  it('says where the plugin is listed whose name is taken', async () => {
    const files = { 'one.mjs': good('same'), 'two.mjs': good('same') };
    const lines = await check(['./one.mjs', './two.mjs'], ['same.go', 'same.other'], files);
    expect(lines.slice(0, -2)).toEqual([
      'cronwright.yaml:3:5: plugins[1]: plugin two.mjs: its name same is taken by one.mjs',
    ]);
  });

  it('tells of a wrong step type of a built-in plugin, whatever a broken plugin is called', async () => {
    const lines = await check(['./text.ts'], ['text.rendr']);
    expect(lines.join('\n')).toMatch(/unknown step type; did you mean "text\.render"/);
  });
});
