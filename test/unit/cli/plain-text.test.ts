import { describe, expect, it } from 'vitest';
import { plainText } from '../../../src/cli/plain-text.ts';
import { clip, renderTable } from '../../../src/cli/table.ts';
import { memoryContext } from './memory-context.ts';

describe('foreign text on a terminal', () => {
  it.each([
    ['\u001b[31mred\u001b[0m', 'red'],
    ['\u001b]0;title\u0007text', 'text'],
    ['\u001b]8;;http://x\u001b\\link\u001b]8;;\u001b\\', 'link'],
    ['a\rb\u0008c\u0000', 'abc'],
    ['\u009b2Jgone', '2Jgone'],
    ['left\u202egnihtemos', 'leftgnihtemos'],
    ['tab\there\nand there', 'tab\there\nand there'],
  ])('%j becomes %j', (text, plain) => {
    expect(plainText(text)).toBe(plain);
  });

  it('is one line of a bounded length in a cell', () => {
    expect(clip('one\n two\u001b[2J  three', 100)).toBe('one two three');
    expect(clip('abcdefgh', 4)).toBe('abc…');
  });
});

describe('a table', () => {
  const columns = [
    { heading: 'name', cell: (row: string[]) => row[0] ?? '' },
    { heading: 'size', align: 'right' as const, cell: (row: string[]) => row[1] ?? '' },
    { heading: 'note', cell: (row: string[]) => row[2] ?? '' },
  ];

  it('aligns columns without a frame and leaves out empty ones', () => {
    const text = renderTable(memoryContext().stdout, columns, [
      ['a', '1', ''],
      ['longer', '200', ''],
    ]);
    expect(text.split('\n')).toEqual(['name    size', 'a          1', 'longer   200']);
  });

  it('aligns painted cells by what is seen', () => {
    const { stdout } = memoryContext({ colors: true });
    const rows = [
      [stdout.colors.green('ok'), '1', 'x'],
      ['failed', '22', 'y'],
    ];
    const text = renderTable(stdout, columns, rows);
    expect(text).toContain('\u001b[32mok\u001b[39m');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are what is taken away
    const seen = text.replace(/\u001b\[\d+m/g, '');
    expect(seen.split('\n')).toEqual(['name    size  note', 'ok         1  x', 'failed    22  y']);
  });
});
