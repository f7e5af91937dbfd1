// What may stand in a header as a media type.
import { describe, expect, it } from 'vitest';
import { isMediaType } from '../../../src/domain/media-type.ts';

describe('a media type', () => {
  it.each([
    'text/plain',
    'text/csv; charset=utf-8',
    'text/csv;charset="utf-8";header=present',
    'application/vnd.api+json ; a="b; \\"c\\""',
    'image/svg+xml',
  ])('is %s', (text) => expect(isMediaType(text)).toBe(true));

  it.each([
    'text/html\r\nx: y',
    'text/html\n',
    '',
    'text',
    '/x',
    'text/',
    'text/a/b',
    'text/häml',
    'text/a b',
    'text/a;',
    'text/a; b',
    'text/a; b="c',
    'text/a; b="\0"',
    ' text/a',
    `text/${'a'.repeat(251)}`,
  ])('is not %j', (text) => expect(isMediaType(text)).toBe(false));
});
