// Array parameters as literals: what goes out is what PostgreSQL reads back.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeParams } from '../../../src/db/encode-params.ts';
import { sqlTypes } from '../../../src/db/sql-values.ts';

const textArray = 1009;
const int8Array = 1016;
const boolArray = 1000;

function readBack(typeId: number, values: readonly unknown[]): unknown {
  const [literal] = encodeParams([values]);
  return (sqlTypes.getTypeParser(typeId, 'text') as (text: string) => unknown)(literal as string);
}

describe('array parameters', () => {
  it('carry any text, NULL, empty and quoted ones too', () => {
    const hard = ['', 'NULL', 'null', null, '{}', 'a,b', '"', '\\', '\\"', '"\\', ' x ', 'line\nline', 'ünï😀'];
    expect(readBack(textArray, hard)).toEqual(hard);
    fc.assert(
      fc.property(fc.array(fc.option(fc.string({ unit: 'binary' }))), (values) => {
        expect(readBack(textArray, values)).toEqual(values);
      }),
    );
  });

  it('carry numbers and booleans', () => {
    const numbers = [0, -1, 2 ** 53 - 1, null, 7, 7];
    expect(readBack(int8Array, numbers)).toEqual(numbers);
    expect(readBack(boolArray, [true, null, false, false])).toEqual([true, null, false, false]);
  });

  it('take undefined as NULL, and nothing as an empty array', () => {
    expect(readBack(textArray, [undefined, 'a'])).toEqual([null, 'a']);
    expect(readBack(textArray, [])).toEqual([]);
  });

  it('carry instants in UTC with their milliseconds', () => {
    const at = new Date('2026-03-01T12:00:00.007Z');
    expect(encodeParams([[at, null, at]])).toEqual(['{"2026-03-01T12:00:00.007Z",NULL,"2026-03-01T12:00:00.007Z"}']);
  });

  it('leave to the driver what is unusual, and everything that is no array', () => {
    const params = [
      [new Date(Number.NaN)],
      [new Date('+012026-01-01T00:00:00Z')],
      [new Date('-000001-01-01T00:00:00Z')],
      [new Uint8Array([1])],
      [['nested']],
      'text',
      7,
      null,
      undefined,
    ];
    expect(encodeParams(params)).toEqual(params);
  });
});
