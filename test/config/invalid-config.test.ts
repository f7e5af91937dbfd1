// Every mistake in testdata/invalid is refused with exactly the messages in the file beside it.
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { problemLine } from '../../src/domain/problem-line.ts';
import { checkConfig } from '../../src/foresight/check.ts';
import { createTestCatalogue } from '../support/step-catalogue.ts';

const testdata = fileURLToPath(new URL('./testdata/invalid', import.meta.url));
const cases = readdirSync(testdata).filter((name) => !name.endsWith('.expected.txt'));
/** Writes what is said now into the expected files, to be read by a person before it is kept. */
const isUpdating = process.env.UPDATE_EXPECTED === '1';

describe('a configuration with a mistake', () => {
  it('is looked at in at least 40 forms', () => {
    expect(cases.length).toBeGreaterThanOrEqual(40);
  });

  it.each(cases)('%s is refused with its expected messages', async (name) => {
    const said = await messagesFor(name);
    const expectedFile = join(testdata, `${name.replace(/\.yaml$/, '')}.expected.txt`);
    if (isUpdating) writeFileSync(expectedFile, said);
    expect(existsSync(expectedFile), `${expectedFile} is missing`).toBe(true);
    expect(said).not.toBe('');
    expect(said).toBe(readFileSync(expectedFile, 'utf8'));
  });
});

/** What `cronwright check` says of a case: a folder, a settings file or a pipeline file. */
async function messagesFor(name: string): Promise<string> {
  const source = join(testdata, name);
  const directory = mkdtempSync(join(tmpdir(), 'cronwright-config-'));
  try {
    if (statSync(source).isDirectory()) cpSync(source, directory, { recursive: true });
    else if (name.startsWith('settings-')) cpSync(source, join(directory, 'cronwright.yaml'));
    else {
      mkdirSync(join(directory, 'pipelines'));
      cpSync(source, join(directory, 'pipelines', 'demo.yaml'));
    }
    const { problems, warnings } = await checkConfig({
      configDir: directory,
      env: {},
      catalogue: createTestCatalogue(),
    });
    const lines = [...problems.map(problemLine), ...warnings.map((one) => `warning: ${problemLine(one)}`)];
    return lines.map((line) => `${line}\n`).join('');
  } finally {
    rmSync(directory, { recursive: true });
  }
}
