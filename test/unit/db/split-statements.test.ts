import { describe, expect, it } from 'vitest';
import { splitStatements } from '../../../src/db/split-statements.ts';

describe('splitting a migration', () => {
  it.each([
    ['ends statements at a semicolon that ends its line', 'select 1;\nselect 2;\n', ['select 1', 'select 2']],
    ['takes a last statement without semicolon', 'select 1;\nselect 2', ['select 1', 'select 2']],
    ['keeps a semicolon inside a line', 'select 1; select 2;\n', ['select 1; select 2']],
    ['allows blanks and a comment behind the semicolon', 'select 1;  -- done\nselect 2;\t\n', ['select 1', 'select 2']],
    ['ends nothing within a line comment', 'select 1 -- one;\n+ 1;', ['select 1 -- one;\n+ 1']],
    ['ends nothing within a block comment', 'select /* a;\nb */ 1;', ['select /* a;\nb */ 1']],
    ['ends nothing within quotes', `select 'a;\nb''c;\n', "d;\n";`, [`select 'a;\nb''c;\n', "d;\n"`]],
    ['is not misled by an apostrophe in a comment', `-- it's\nselect 1;\nselect 2;`, ['select 1', 'select 2']],
    ['leaves out comments between statements', '-- head\n\nselect 1;\n-- tail;\n/* end; */\n', ['select 1']],
    ['makes nothing of nothing', '\n-- only a comment\n', []],
    ['does not end a statement on an empty one', ';\nselect 1;\n;\n', ['select 1']],
    ['bears an unclosed quote or comment', "select 'a;\n", ["select 'a;"]],
    ['reads the line ends of Windows', 'select 1;\r\nselect 2;\r\n', ['select 1', 'select 2']],
  ])('%s', (_, text, statements) => {
    expect(splitStatements(text)).toEqual(statements);
  });
});
