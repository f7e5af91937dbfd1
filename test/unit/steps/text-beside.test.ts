// textBeside: the texts that a plugin brings along.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { textBeside } from '../../../src/steps/api.ts';
import { tempFolder } from '../../support/temp-folder.ts';

describe('textBeside', () => {
  it('reads a file beside a module, without the line ends at its end, and once', () => {
    const folder = tempFolder('texts');
    const moduleUrl = pathToFileURL(join(folder, 'index.ts')).href;
    writeFileSync(join(folder, 'prompt.md'), 'One.\r\nTwo.\n\n');
    expect(textBeside(moduleUrl, './prompt.md')).toBe('One.\nTwo.');
    writeFileSync(join(folder, 'prompt.md'), 'Changed.');
    expect(textBeside(moduleUrl, './prompt.md')).toBe('One.\nTwo.');
  });

  it('names the file that is not there', () => {
    const moduleUrl = pathToFileURL(join(tempFolder('texts'), 'index.ts')).href;
    expect(() => textBeside(moduleUrl, './prompts/none.md')).toThrow(/prompts\/none\.md/);
  });
});
