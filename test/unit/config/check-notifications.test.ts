// The examples of on_failure that are shown to people load, with the real step types.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { packageRoot } from '../../../src/base/package-root.ts';
import { problemLine } from '../../../src/domain/problem-line.ts';
import { checkConfig } from '../../../src/foresight/check.ts';
import { builtInPlugins } from '../../../src/steps/built-in-plugins.ts';
import { loadPlugins } from '../../../src/steps/load-plugins.ts';
import { createRegistry } from '../../../src/steps/registry.ts';
import { tempFolder } from '../../support/temp-folder.ts';

async function problemsOf(settings: string): Promise<string[]> {
  const configDir = tempFolder('config');
  mkdirSync(configDir, { recursive: true });
  writeFileSync(join(configDir, 'cronwright.yaml'), settings);
  const { plugins } = await loadPlugins({ builtIn: builtInPlugins, listed: [], baseDir: configDir });
  const { problems } = await checkConfig({ configDir, env: {}, catalogue: createRegistry(plugins) });
  return problems.map(problemLine);
}

describe('on_failure as people are shown it', () => {
  it('loads from docs/NOTIFICATIONS.md', async () => {
    const page = readFileSync(join(packageRoot, 'docs/NOTIFICATIONS.md'), 'utf8');
    const [, example = ''] = /```yaml\n([\s\S]*?)```/.exec(page) ?? [];
    expect(example).toContain('on_failure');
    expect(await problemsOf(example)).toEqual([]);
    expect(await problemsOf(example.replace('run.more_failed', 'run.more'))).toHaveLength(1);
  });

  it('loads from the commented lines of config/cronwright.yaml', async () => {
    const file = readFileSync(join(packageRoot, 'config/cronwright.yaml'), 'utf8');
    const [commented = ''] = /# on_failure:\n(?:# {3}.*\n)+/.exec(file) ?? [];
    expect(commented.split('\n').length).toBeGreaterThan(5);
    expect(await problemsOf(commented.replace(/^# /gm, ''))).toEqual([]);
  });

  it('says which key of a mail server is wrong, and what was expected', async () => {
    const with_ = '{ smtp: { host: h, tls: ssl }, from: a@b, to: nobody, subject: s, text: t }';
    expect(await problemsOf(`on_failure:\n  - { uses: notify.email, with: ${with_} }\n`)).toEqual([
      expect.stringMatching(/^cronwright\.yaml:2:\d+: on_failure\[0\]\.with\.smtp\.tls: notify\.email: .*always/),
      expect.stringMatching(/^cronwright\.yaml:2:\d+: on_failure\[0\]\.with\.to: notify\.email: expected an address/),
    ]);
  });
});
