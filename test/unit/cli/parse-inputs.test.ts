import { describe, expect, it } from 'vitest';
import { parseInputs } from '../../../src/cli/parse-inputs.ts';

const definitions = {
  name: { type: 'string' },
  pages: { type: 'integer' },
  share: { type: 'number' },
  draft: { type: 'boolean' },
  tags: { type: 'array' },
  extra: { type: 'object' },
} as const;

describe('--input', () => {
  it('reads values by the types that the pipeline declares', () => {
    const pairs = ['name=007', 'pages=12', 'share=0.5', 'draft=true', 'tags=["a","b"]', 'extra={"x":null}'];
    expect(parseInputs(pairs, definitions)).toEqual({
      name: '007',
      pages: 12,
      share: 0.5,
      draft: true,
      tags: ['a', 'b'],
      extra: { x: null },
    });
  });

  it('keeps text as it is, also with signs, spaces and nothing', () => {
    expect(parseInputs(['name=a=b:=c ', 'other='], definitions)).toEqual({ name: 'a=b:=c ', other: '' });
  });

  it('reads JSON after := whatever is declared', () => {
    expect(parseInputs(['unknown:={"a":[1]}', 'name:=5'], definitions)).toEqual({ unknown: { a: [1] }, name: 5 });
  });

  it('takes __proto__ for a name like any other', () => {
    const inputs = parseInputs(['__proto__=x'], definitions);
    expect(Object.getPrototypeOf(inputs)).toBe(Object.prototype);
    expect(JSON.stringify(inputs)).toBe('{"__proto__":"x"}');
  });

  it.each([
    ['name'],
    ['=x'],
    ['pages=many'],
    ['pages='],
    ['draft=yes'],
    ['tags=a,b'],
    ['x:={'],
  ])('refuses %s, saying what it got and expected', (pair) => {
    expect(() => parseInputs([pair], definitions)).toThrow(`--input: got "${pair}", expected`);
  });
});
