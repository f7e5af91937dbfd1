// The page of settings says what the code does.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { packageRoot } from '../../../src/base/package-root.ts';
import { pipelineDefaults, settingDefaults } from '../../../src/config/defaults.ts';
import { pipelineJsonSchema, settingsJsonSchema } from '../../../src/config/json-schema.ts';
import { listKeys, renderConfigurationDoc } from '../../support/configuration-doc.ts';

const page = join(packageRoot, 'docs/CONFIGURATION.md');

describe('docs/CONFIGURATION.md', () => {
  it('is what the schemas and defaults say now', () => {
    const rendered = renderConfigurationDoc();
    if (process.env.UPDATE_EXPECTED === '1') writeFileSync(page, rendered);
    expect(readFileSync(page, 'utf8')).toBe(rendered);
  });

  it.each([
    ['settings', settingsJsonSchema(), settingDefaults],
    ['pipelines', pipelineJsonSchema(), pipelineDefaults],
  ])('names only defaults of keys that %s have', (_, schema, defaults) => {
    const keys = listKeys(schema as Parameters<typeof listKeys>[0]).map(([key]) => key);
    expect(keys).toEqual(expect.arrayContaining(Object.keys(defaults)));
  });
});
