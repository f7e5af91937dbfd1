// The page of requirements says of every row what became of it, and what it names is there.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { packageRoot } from '../../../src/base/package-root.ts';

/** How many rows each list has, and the numbers that were never given. */
const lists = [
  { prefix: 'S0', rows: 85, missing: [] },
  { prefix: 'S1', rows: 135, missing: [52, 54, 78] },
  { prefix: 'S2', rows: 102, missing: [89] },
  { prefix: 'S3', rows: 86, missing: [72] },
  { prefix: 'S4', rows: 112, missing: [94] },
  { prefix: 'G', rows: 25, missing: [] },
] as const;

const page = readFileSync(join(packageRoot, 'docs/REQUIREMENTS.md'), 'utf8');
const rows = [...page.matchAll(/^\| ([SG]\d*-\d+) \| (.+) \| (.*) \|$/gm)].map(([, id = '', text = '', what = '']) => ({
  id,
  text,
  what,
}));

describe('docs/REQUIREMENTS.md', () => {
  it('has every row once, in order', () => {
    const expected = lists.flatMap(({ prefix, rows, missing }) =>
      Array.from({ length: rows }, (_, index) => index + 1)
        .filter((number) => !(missing as readonly number[]).includes(number))
        .map((number) => `${prefix}-${number}`),
    );
    expect(rows.map(({ id }) => id)).toEqual(expected);
  });

  it('says of every row that it is shown by something, waived, or open, and why', () => {
    const unclear = rows.filter(({ what }) => !/^(shown by \[|waived: \S+ |open: \S+ )/.test(what));
    expect(unclear.map(({ id, what }) => `${id}: ${what}`)).toEqual([]);
  });

  it('names files that are there, and tests by words of their titles', () => {
    const texts = new Map<string, string>();
    const wrong = rows.flatMap(({ id, what }) =>
      [...what.matchAll(/\[([^\]]+)\]\(\.\.\/([^)#]+)(?:#[^)]*)?\)/g)].flatMap(([, title = '', path = '']) => {
        const file = join(packageRoot, path);
        if (!existsSync(file)) return [`${id}: there is no ${path}`];
        if (!path.endsWith('.test.ts')) return [];
        const text = texts.get(file) ?? readFileSync(file, 'utf8').replaceAll("\\'", "'");
        texts.set(file, text);
        return text.includes(title) ? [] : [`${id}: no test in ${path} is called "${title}"`];
      }),
    );
    expect(wrong).toEqual([]);
  });

  it('counts its rows as they are', () => {
    const count = (word: string) => rows.filter(({ what }) => what.startsWith(word)).length;
    expect(page).toContain(`${count('shown by')} shown, ${count('waived')} waived, ${count('open')} open`);
  });
});
