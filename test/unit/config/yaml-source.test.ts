// Places in YAML files: every way to write a text leads back to the line and column of its characters.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseYaml } from '../../../src/config/yaml-source.ts';

function read(text: string) {
  const { documents, problems } = parseYaml(text, 'x.yaml');
  expect(problems).toEqual([]);
  const [document] = documents;
  if (!document) throw new Error('no document');
  return document;
}

describe('the place of a character', () => {
  it.each([
    ['plain', 'a: one MARK two', 1, 8],
    ['in double quotes', 'a: "one MARK"', 1, 9],
    ['in single quotes', "a: 'it''s MARK'", 1, 11],
    ['after escapes', 'a: "x\\ty\\"z MARK"', 1, 13],
    ['after an escaped line break', 'a: "one\\nnot MARK"', 1, 14],
    ['in a literal block', 'a: |\n  one\n  two MARK', 3, 7],
    ['in a folded block', 'a: >-\n  one\n  two\n\n  MARK', 5, 3],
    ['in a folded plain text', 'a: one\n  two\n  MARK', 3, 3],
    ['after other alphabets', 'a: "é漢 MARK"', 1, 8],
    ['with Windows line ends', 'b: 1\r\na: |\r\n  one\r\n  MARK\r\n', 4, 3],
  ])('is found where the text is %s', (_, source, line, column) => {
    const document = read(source);
    const { a } = document.value as { a: string };
    expect(document.placeWithin(['a'], a.indexOf('MARK'))).toEqual({ file: 'x.yaml', line, column });
  });

  it('is that of the anchor where the value is an alias', () => {
    const document = read('a: &x [1, MARK]\nb: *x\n');
    expect(document.placeWithin(['b', 1], 0)).toEqual({ file: 'x.yaml', line: 1, column: 11 });
  });

  it('is that of the nearest parent where there is nothing', () => {
    const document = read('a:\n  b: { c: 1 }\n');
    expect(document.placeOf(['a', 'b', 'nothing', 'below'])).toEqual({ file: 'x.yaml', line: 2, column: 6 });
    expect(document.placeOfKey(['a', 'b'])).toEqual({ file: 'x.yaml', line: 2, column: 3 });
    expect(document.placeOf([])).toEqual({ file: 'x.yaml', line: 1, column: 1 });
  });

  it('counts lines over the documents of a file', () => {
    const { documents } = parseYaml('a: 1\n---\na: 2\n---\n\na: 3\n', 'x.yaml');
    expect(documents.map((document) => document.placeOf(['a']).line)).toEqual([1, 3, 6]);
  });
});

describe('any text', () => {
  it('is read or refused with a place, and never throws', () => {
    const base = 'id: demo\nsteps:\n  - { id: &a say, with: { x: "$" } }\n';
    const pieces = [
      '{',
      '}',
      '[',
      ']',
      '&a ',
      '*a',
      '"',
      "'",
      '|\n',
      '>\n',
      '\t',
      '\n',
      '---\n',
      ': ',
      '- ',
      '? ',
      '!!binary ',
    ];
    const more = ['%YAML 1.2\n', '#', '\u0000', '\ud800', '<<: ', '__proto__: ', '0x', '\r', '@', '~', '...\n', '010'];
    const edit = fc.record({ at: fc.nat(base.length), drop: fc.nat(8), add: fc.constantFrom(...pieces, ...more) });
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 8 }), (edits) => {
        const text = edits.reduce((sum, { at, drop, add }) => sum.slice(0, at) + add + sum.slice(at + drop), base);
        const { documents, problems } = parseYaml(text, 'x.yaml');
        for (const place of [...problems, ...documents.map((document) => document.placeOf(['steps', 0, 'id']))]) {
          expect(place.line).toBeGreaterThanOrEqual(1);
          expect(place.column).toBeGreaterThanOrEqual(1);
        }
      }),
      { numRuns: 500 },
    );
  });
});
