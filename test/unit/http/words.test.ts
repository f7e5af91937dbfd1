import { describe, expect, it } from 'vitest';
import { localPath } from '../../../src/http/pages/login-page.ts';
import { clip, percent, relative, shortSpan, span, wallClock } from '../../../src/http/pages/words.ts';

describe('how pages write', () => {
  it.each([
    [0, '0 ms'],
    [850, '850 ms'],
    [4_240, '4.2 s'],
    [10_000, '10 s'],
    [59_700, '1 min'],
    [200_000, '3 min 20 s'],
    [3_600_000, '1 h'],
    [3_605_000, '1 h'],
    [190_000_000, '2 d 4 h'],
  ])('a span of %i ms: %s', (ms, text) => {
    expect(span(ms)).toBe(text);
  });

  it.each([
    [400, '0 s'],
    [89_000, '1 min'],
    [5_400_000, '2 h'],
    [172_800_000, '2 d'],
  ])('%i ms by its greatest unit: %s', (ms, text) => {
    expect(shortSpan(ms)).toBe(text);
  });

  it('a time on a wall clock with its offset', () => {
    expect(wallClock('2026-11-22T02:00:00-05:00')).toBe('22 Nov 02:00:00 −05:00');
    expect(wallClock('2026-01-02T02:00:00.123Z')).toBe('2 Jan 02:00:00 +00:00');
  });

  it('how long ago, with the instant behind it', async () => {
    const text = String(await relative(new Date('2026-01-01T00:00:00Z'), new Date('2026-01-01T00:03:00Z')));
    expect(text).toContain('datetime="2026-01-01T00:00:00.000Z"');
    expect(text).toContain('>3 min ago<');
  });

  it('never a hundred percent where something failed', () => {
    expect(percent(0.9999)).toBe('99.9 %');
    expect(percent(1)).toBe('100 %');
    expect(percent(0)).toBe('0 %');
    expect(percent(null)).toBe('–');
  });

  it('long texts on one line', () => {
    expect(clip('a\n  b', 10)).toBe('a b');
    expect(clip('abcdef', 4)).toBe('abc…');
  });

  it('where to go after the login: only here', () => {
    expect(localPath('/runs?state=failed')).toBe('/runs?state=failed');
    for (const foreign of [null, '', 'runs', '//x.example', '/\\x.example', 'https://x.example', '/a\r\nb']) {
      expect(localPath(foreign)).toBe('/');
    }
  });
});
