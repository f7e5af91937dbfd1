// How PostgreSQL's text values become JavaScript values: one table for both drivers.
import type { CustomTypesConfig } from 'pg';

type Parser = (text: string) => unknown;

const oid = {
  bool: 16,
  bytea: 17,
  int8: 20,
  int2: 21,
  int4: 23,
  oid: 26,
  json: 114,
  float4: 700,
  float8: 701,
  timestamptz: 1184,
  jsonb: 3802,
} as const;

const scalarParsers = new Map<number, Parser>([
  [oid.bool, (text) => text === 't'],
  [oid.bytea, parseBytea],
  [oid.int8, parseInt8],
  [oid.int2, Number],
  [oid.int4, Number],
  [oid.oid, Number],
  [oid.json, (text) => JSON.parse(text) as unknown],
  [oid.jsonb, (text) => JSON.parse(text) as unknown],
  [oid.float4, Number],
  [oid.float8, Number],
  [oid.timestamptz, parseTimestamptz],
]);

// Array type → type of its elements, as pg_type numbers them.
const elementTypes: readonly (readonly [array: number, element: number])[] = [
  [1000, oid.bool],
  [1001, oid.bytea],
  [1003, 19], // name
  [1005, oid.int2],
  [1007, oid.int4],
  [1009, 25], // text
  [1014, 1042], // bpchar
  [1015, 1043], // varchar
  [1016, oid.int8],
  [1021, oid.float4],
  [1022, oid.float8],
  [1028, oid.oid],
  [1115, 1114], // timestamp
  [1182, 1082], // date
  [1185, oid.timestamptz],
  [1187, 1186], // interval
  [1231, 1700], // numeric
  [199, oid.json],
  [2951, 2950], // uuid
  [3807, oid.jsonb],
];

const asText: Parser = (text) => text;

const parsers = new Map<number, Parser>(scalarParsers);
for (const [array, element] of elementTypes) {
  const parseElement = scalarParsers.get(element) ?? asText;
  parsers.set(array, (text) => parseArray(text, parseElement));
}

/** The `types` of a pg client: every type in the contract's table, everything else as text. */
export const sqlTypes: CustomTypesConfig = {
  getTypeParser: ((typeId: number) => parsers.get(typeId) ?? asText) as CustomTypesConfig['getTypeParser'],
};

function parseInt8(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) {
    throw new RangeError(`the database returned the int8 ${text}, expected one within ±${Number.MAX_SAFE_INTEGER}`);
  }
  return value;
}

/** Sessions run in UTC, so the server writes `2026-01-02 03:04:05.678901+00`; microseconds are cut, not rounded. */
function parseTimestamptz(text: string): Date {
  const parts = /^(\d{4,6})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?\+00(?::00)?$/.exec(text);
  if (!parts)
    throw new RangeError(`the database returned the timestamptz ${text}, expected an instant in UTC after year 0`);
  const [, year, month, day, hour, minute, second, fraction = '0'] = parts;
  const milliseconds = Number(fraction.padEnd(3, '0').slice(0, 3));
  const date = new Date(0);
  date.setUTCFullYear(Number(year), Number(month) - 1, Number(day));
  date.setUTCHours(Number(hour), Number(minute), Number(second), milliseconds);
  return date;
}

function parseBytea(text: string): Uint8Array {
  if (!text.startsWith('\\x')) throw new RangeError('the database returned bytea in escape format, expected hex');
  const bytes = Buffer.from(text.slice(2), 'hex');
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Reads an array literal such as `{1,NULL,"a \"b\""}`, nested ones too. */
function parseArray(text: string, parseElement: Parser): unknown[] {
  // `[0:2]={…}`: bounds other than the default stand in front.
  let position = text.startsWith('[') ? text.indexOf('=') + 1 : 0;

  function readArray(): unknown[] {
    const items: unknown[] = [];
    position++; // {
    while (text[position] !== '}') {
      if (position >= text.length) throw new RangeError(`the database returned an array without its end: ${text}`);
      if (text[position] === ',') position++;
      items.push(text[position] === '{' ? readArray() : text[position] === '"' ? readQuoted() : readPlain());
    }
    position++; // }
    return items;
  }

  function readQuoted(): unknown {
    let value = '';
    position++;
    let from = position;
    while (text[position] !== '"') {
      if (position >= text.length) throw new RangeError(`the database returned an array with an open quote: ${text}`);
      if (text[position] === '\\') {
        value += text.slice(from, position);
        position++;
        from = position;
      }
      position++;
    }
    value += text.slice(from, position);
    position++;
    return parseElement(value);
  }

  function readPlain(): unknown {
    const from = position;
    while (position < text.length && text[position] !== ',' && text[position] !== '}') position++;
    const value = text.slice(from, position);
    return value === 'NULL' ? null : parseElement(value);
  }

  return readArray();
}
