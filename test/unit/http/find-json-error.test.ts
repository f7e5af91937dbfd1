import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findJsonError } from '../../../src/http/find-json-error.ts';

describe('where a text stops being JSON', () => {
  it.each([
    ['', 0, 1, 1],
    ['{', 1, 1, 2],
    ['{"a" 1}', 5, 1, 6],
    ['{"a": }', 6, 1, 7],
    ['{"a": 1,}', 8, 1, 9],
    ['[1, 2', 5, 1, 6],
    ['[1 2]', 3, 1, 4],
    ['{"a": 1} x', 9, 1, 10],
    ['{\n  "a": tru\n}', 9, 2, 8],
    ['{a: 1}', 1, 1, 2],
    ["{'a': 1}", 1, 1, 2],
    ['["open', 6, 1, 7],
    ['["bad \\x"]', 6, 1, 7],
    ['["line\nbreak"]', 6, 1, 7],
    ['01', 1, 1, 2],
    ['[,1]', 1, 1, 2],
    ['{"a": 1]', 7, 1, 8],
  ])('%j: offset %i, line %i, column %i', (text, offset, line, column) => {
    expect(() => JSON.parse(text)).toThrow();
    expect(findJsonError(text)).toEqual({ offset, line, column });
  });

  it('names a place within the part that was damaged, never before it', () => {
    fc.assert(
      fc.property(fc.json(), fc.nat(), (json, seed) => {
        const at = seed % (json.length + 1);
        const broken = `${json.slice(0, at)}\u0001${json.slice(at)}`;
        const { offset } = findJsonError(broken);
        // A number, a word or an escape that is cut in two is wrong where it stops making sense, which may be its beginning.
        const begin = /[-\\\w.+]*$/.exec(broken.slice(0, at))?.index ?? at;
        expect(offset).toBeLessThanOrEqual(at);
        expect(offset).toBeGreaterThanOrEqual(begin);
      }),
      { numRuns: 2_000 },
    );
  });

  it('stands large and deep texts', () => {
    expect(findJsonError('['.repeat(200_000)).offset).toBe(200_000);
    expect(findJsonError(`"${'a\\n'.repeat(300_000)}`).offset).toBe(900_001);
  });
});
