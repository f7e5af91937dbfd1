// Checks docs.generate and docs.index: pages that are always the same, links that lead somewhere, text that means what it says.
import { existsSync } from 'node:fs';
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { address, cell, code, createAnchors, fence, firstSentence, prose } from '../../plugins/docs/markdown.ts';
import { packageRoot } from '../../src/base/package-root.ts';
import {
  createScratch,
  readTree,
  runStep,
  type Scratch,
  type TestContext,
  undoStep,
  writeFiles,
} from './git-scratch.ts';

interface Row {
  path: string;
  slug: string;
}
interface Page {
  path: string;
  bytes: number;
  sha256: string;
  symbols: number;
}
interface Index extends Page {
  modules: number;
  missing: number;
  removed: number;
}

let scratch: Scratch;
beforeEach(async () => {
  scratch = await createScratch();
});
afterEach(() => scratch.remove());

async function documented(
  files: Record<string, string> | 'this project',
): Promise<{ context: TestContext; modules: Row[]; pages: Page[]; index: Index; docs: string }> {
  const context = scratch.context({ isolation: 'inline' });
  const repo = join(context.workspace, 'repo');
  await mkdir(repo, { recursive: true });
  if (files === 'this project') await cp(join(packageRoot, 'src'), join(repo, 'src'), { recursive: true });
  else await writeFiles(repo, files);
  const { modules } = await runStep<{ modules: Row[] }>('code.analyze', context, {});
  const pages: Page[] = [];
  for (const module of modules) pages.push(await runStep<Page>('docs.generate', context, { module }));
  const index = await runStep<Index>('docs.index', context, { modules, title: 'My *project*', note: null });
  return { context, modules, pages, index, docs: join(context.workspace, 'docs') };
}

describe('docs.generate and docs.index', () => {
  it('are undone: pages they made go with their folders, a page they replaced is put back, one that was changed stays', async () => {
    const context = scratch.context({ isolation: 'inline' });
    await writeFiles(context.workspace, { 'repo/src/a.ts': '', 'repo/src/b.ts': '', 'docs/README.md': 'by hand' });
    const { modules } = await runStep<{ modules: Row[] }>('code.analyze', context, {});
    const undos: (() => Promise<void>)[] = [];
    const doing = async (id: string, input: object) => {
      await runStep(id, context, input);
      const checkpoint = context.checkpoints.get(id);
      undos.unshift(() => {
        context.checkpoints.set(id, checkpoint);
        return undoStep(id, context, input);
      });
    };
    for (const module of modules) await doing('docs.generate', { module });
    await doing('docs.index', { modules });
    const docs = join(context.workspace, 'docs');
    await mkdir(join(docs, '.partial'));
    await writeFile(join(docs, '.partial', 'half.md'), 'of a killed attempt');
    for (const undo of [...undos, ...undos]) await undo();
    expect(await readTree(docs)).toEqual({ 'README.md': 'by hand' });
    expect(existsSync(join(docs, 'modules'))).toBe(false);

    const [first] = modules;
    const page = await runStep<Page>('docs.generate', context, { module: first });
    await writeFile(join(docs, page.path), 'corrected by hand');
    await undoStep('docs.generate', context, { module: first });
    expect(await readFile(join(docs, page.path), 'utf8')).toBe('corrected by hand');
  });

  it('make the very same bytes of this project twice, and every link leads to a page or a heading', async () => {
    const first = await documented('this project');
    const second = await documented('this project');
    const tree = await readTree(first.docs);
    expect(await readTree(second.docs)).toEqual(tree);
    expect(first.pages).toEqual(second.pages);
    expect(Object.keys(tree)).toHaveLength(first.modules.length + 1);
    expect(brokenLinks(tree)).toEqual([]);
    expect(JSON.stringify(tree)).not.toContain(scratch.root);
  });

  it('write pages for names with spaces, brackets and letters of other scripts, linked from the index', async () => {
    const { docs, pages, index } = await documented({
      'src/[id]/(a b) #1.ts': 'export const a = 1;',
      'ünï/日本.ts': 'export const b = 1;',
      "it's 100%.js": 'exports.c = 1;',
      'a.ts': '',
      'a.ts.md/b.ts': '',
    });
    const tree = await readTree(docs);
    expect(Object.keys(tree).sort()).toEqual([...pages.map((page) => page.path), 'README.md'].sort());
    expect(brokenLinks(tree)).toEqual([]);
    expect(index).toMatchObject({ path: 'README.md', modules: 5, symbols: 3, missing: 0 });
  });

  it('tell of a module what it is for, what it exports and how that is called', async () => {
    const { docs, pages } = await documented({
      'src/add.ts': `// Adds things; see <b>RFC</b> 1.
/**
 * Adds *two* numbers, \`a | b\`. Carefully.
 *
 * @param a - the \`first\` one
 * @param b
 * @returns the sum
 * @throws RangeError where it is too large
 * @deprecated use {@link plus}
 * @example
 * add(1, 2);
 */
export function add(a: number, b: number): number { return a + b; }
export class Adder {
  /** So far. */
  total = 0;
  add(a: number): void { this.total += a; }
}
const limit = 5;
export * from './more.ts';
`,
    });
    expect(pages).toMatchObject([{ path: 'modules/src/add.ts.md', symbols: 3 }]);
    expect(await readFile(join(docs, 'modules/src/add.ts.md'), 'utf8')).toBe(`# \`src/add.ts\`

Adds things; see &lt;b>RFC&lt;/b> 1.

[All modules](../../README.md) · TypeScript · 3 exports

## Exports

| Name | Kind | Summary |
| --- | --- | --- |
| [\`add\`](#add) | function | **Deprecated.** Adds \\*two\\* numbers, \`a \\| b\`. |
| [\`Adder\`](#adder) | class |  |
| \`*\` | re-export |  |

## Functions

### \`add\`

> Deprecated. use \`plus\`

\`\`\`ts
function add(a: number, b: number): number
\`\`\`

Adds \\*two\\* numbers, \`a | b\`. Carefully.

**Parameters**

- \`a\`: the \`first\` one

**Returns** the sum

**Throws** RangeError where it is too large

**Example**

\`\`\`ts
add(1, 2);
\`\`\`

## Classes

### \`Adder\`

\`\`\`ts
class Adder {
  /** So far. */
  total = 0;
  add(a: number): void;
}
\`\`\`

## Re-exports

\`\`\`ts
export * from './more.ts'
\`\`\`

## Inside the module

| Name | Kind | Summary |
| --- | --- | --- |
| \`limit\` | constant |  |
`);
  });

  it('tell a symbol from the heading of the same name', async () => {
    const { docs } = await documented({ 'a.ts': 'export function functions() {}\nexport function exports() {}' });
    const page = await readFile(join(docs, 'modules/a.ts.md'), 'utf8');
    expect(page).toContain('[`functions`](#functions-1)');
    expect(page).toContain('[`exports`](#exports-1)');
  });

  it('do not change a page when code moves by some lines', async () => {
    const one = await documented({ 'a.ts': '// It.\n\nexport const a = 1;\n' });
    const two = await documented({ 'a.ts': '// It.\n\n\n\nexport const a = 1;\n' });
    expect(two.pages[0]?.sha256).toBe(one.pages[0]?.sha256);
  });

  it('take away pages of modules that are gone, and say which modules have no page', async () => {
    const { context, modules, docs } = await documented({ 'a.ts': '', 'x/b.ts': '', 'x/c.ts': '' });
    await writeFiles(docs, {
      'modules/old/gone.ts.md': 'old',
      'modules/x/stray.md': 'old',
      '.partial/half.md': 'half',
    });
    await rm(join(docs, 'modules/x/c.ts.md'));
    const index = await runStep<Index>('docs.index', context, { modules });
    expect(index).toMatchObject({ modules: 3, missing: 1, removed: 2 });
    expect(Object.keys(await readTree(docs))).toEqual(['README.md', 'modules/a.ts.md', 'modules/x/b.ts.md']);
    expect(existsSync(join(docs, 'modules/old'))).toBe(false);
    expect(await readFile(join(docs, 'README.md'), 'utf8')).toContain('`c.ts` (not generated)');
  });

  it('say so where there is nothing to document, and what was left out', async () => {
    const { context, docs } = await documented({ 'readme.txt': 'x' });
    await runStep('docs.index', context, { modules: [], title: 'Empty', note: 'left out: 2 files over max_files' });
    expect(await readFile(join(docs, 'README.md'), 'utf8')).toBe(
      '# Empty\n\nNo modules to document were found.\n\n> left out: 2 files over max\\_files\n'.replace(
        'max\\_',
        'max_',
      ),
    );
  });

  it('refuse a module that was not analysed, a slug that is a path, a folder outside of the workspace', async () => {
    const { context, modules } = await documented({ 'a.ts': '' });
    const generate = (input: unknown): Promise<unknown> => runStep('docs.generate', context, input);
    await expect(generate({ module: 'nothing' })).rejects.toMatchObject({ name: 'NotFound', class: 'fatal' });
    await expect(generate({ module: '../../etc/passwd' })).rejects.toMatchObject({ class: 'fatal' });
    for (const out of ['..', '.', '/tmp']) {
      await expect(generate({ module: modules[0], out }), out).rejects.toMatchObject({ name: 'PathNotAllowed' });
    }
    const analysis = join(context.workspace, '.cronwright/analysis', `${modules[0]?.slug}.json`);
    const stored = JSON.parse(await readFile(analysis, 'utf8')) as Record<string, unknown>;
    await writeFile(analysis, JSON.stringify({ ...stored, path: '../../../evil' }));
    await expect(generate({ module: modules[0] })).rejects.toThrow();
    expect(existsSync(join(scratch.root, 'evil.md'))).toBe(false);
  });
});

describe('Markdown', () => {
  const cases: [string, string][] = [
    ['a_b and _c_ and __d__', 'a_b and \\_c\\_ and \\_\\_d\\_\\_'],
    ['1 * 2 * 3', '1 \\* 2 \\* 3'],
    ['Map<string, T[]> & &lt;', 'Map&lt;string, T\\[\\]> & &amp;lt;'],
    ['keeps `a_b * <c>` as it is', 'keeps `a_b * <c>` as it is'],
    ['a lone ` tick', 'a lone \\` tick'],
    ['see https://x.example/a_b_(c).', 'see <https://x.example/a_b_(c>).'],
    [
      '{@link Foo} and {@link Foo | the foo} and {@link https://x.example}',
      '`Foo` and the foo and <https://x.example>',
    ],
    [
      '# not a heading\n> no quote\n--- no rule\n= no line',
      '\\# not a heading\n\\> no quote\n\\--- no rule\n\\= no line',
    ],
    ['List:\n- one\n  goes on\n- two\n1. three', 'List:\n- one\n  goes on\n- two\n1. three'],
    ['Costs $5 to $6, ~~no~~ C:\\x', 'Costs \\$5 to \\$6, \\~\\~no\\~\\~ C:\\\\x'],
    ['Before\n```js\nconst a = `x_y`;\n```\nafter', 'Before\n\n```js\nconst a = `x_y`;\n```\n\nafter'],
    ['Never closed\n```\nx', 'Never closed\n\n```\nx\n```'],
    ['a | b\n:-', 'a \\| b\n\\:-'],
    ['www.x.example', 'www\\.x.example'],
  ];
  it.each(cases)('writes %j', (text, markdown) => {
    expect(prose(text)).toBe(markdown);
  });

  it('never lets code out of its fence or its span, nor a cell out of its table', () => {
    const text = fc.string({ unit: fc.constantFrom('`', '``', '```', '|', '\\', '\n', 'a', ' ', '~~~') });
    fc.assert(
      fc.property(text, (given) => {
        const lines = fence(given, 'ts').split('\n');
        const ticks = lines.at(-1) ?? '';
        expect(lines.slice(1, -1).some((each) => each.trim().startsWith(ticks))).toBe(false);
        const unescaped = /(?<!\\)(?:\\\\)*\|/;
        for (const written of [cell(given), code(given, true)]) {
          expect(written).not.toContain('\n');
          expect(unescaped.test(written), written).toBe(false);
        }
      }),
    );
  });

  it('finds the first sentence, not the first full stop', () => {
    expect(firstSentence('Adds e.g. two\nnumbers. And more.')).toBe('Adds e.g. two numbers.');
    expect(firstSentence('Reads `a. b` of 1.5 MB! Yes.')).toBe('Reads `a. b` of 1.5 MB!');
    expect(firstSentence('No stop\n\nNext paragraph.')).toBe('No stop');
    expect(firstSentence('```\ncode\n```')).toBe('');
  });

  it('encodes addresses and numbers equal headings', () => {
    expect(address("a b/(c)'#%.md")).toBe('a%20b/%28c%29%27%23%25.md');
    const anchors = createAnchors();
    expect(['Exports', 'a_b $c', 'Exports', 'Über uns!'].map(anchors)).toEqual([
      'exports',
      'a_b-c',
      'exports-1',
      'über-uns',
    ]);
  });
});

/** Links of all pages that lead to no page, or to no heading of their own page. */
function brokenLinks(tree: Readonly<Record<string, string>>): string[] {
  const broken: string[] = [];
  for (const [path, text] of Object.entries(tree)) {
    const plain = text.replace(/^(`{3,})[\s\S]*?^\1$/gm, '');
    const anchors = createAnchors();
    const headings = new Set(
      [...plain.matchAll(/^#+ (.*)$/gm)].map((match) => anchors((match[1] ?? '').replaceAll('`', ''))),
    );
    for (const [, target = ''] of plain.matchAll(/\]\(([^)<>]+)\)/g)) {
      const found = target.startsWith('#')
        ? target !== '#' && headings.has(decodeURIComponent(target.slice(1)))
        : join(dirname(path), decodeURIComponent(target)) in tree;
      if (!found) broken.push(`${path}: ${target}`);
    }
  }
  return broken;
}
