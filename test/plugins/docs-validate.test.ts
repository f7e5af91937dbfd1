// Checks docs.validate: every kind of problem at its line and column, what is no problem, coverage, and when it fails.
import { mkdir, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createScratch, runStep, type Scratch, type TestContext, writeFiles } from './git-scratch.ts';

interface Problem {
  file: string;
  line: number;
  column: number;
  kind: string;
  target: string;
  message: string;
}
interface Share {
  documented: number;
  total: number;
  percent: number;
  missing: string[];
}
interface Validated {
  ok: boolean;
  pages: number;
  links: { internal: number; external: number };
  coverage: { modules: Share; symbols: Share; comments: Share };
  problems: Problem[];
  problem_count: number;
}

let scratch: Scratch;
beforeEach(async () => {
  scratch = await createScratch();
});
afterEach(() => scratch.remove());

async function documents(
  files: Record<string, string>,
  isolation: 'inline' | 'process' = 'inline',
): Promise<TestContext> {
  const context = scratch.context({ isolation });
  await mkdir(join(context.workspace, 'docs'), { recursive: true });
  await writeFiles(join(context.workspace, 'docs'), files);
  return context;
}
const validate = (context: TestContext, input: object = {}): Promise<Validated> =>
  runStep<Validated>('docs.validate', context, input);

/** What is wrong with a tree, nothing of it fatal. */
async function problemsOf(files: Record<string, string>): Promise<string[]> {
  const { problems } = await validate(await documents(files), { fail_on: [] });
  return problems.map(({ file, line, column, kind, target }) => `${file}:${line}:${column} ${kind} ${target}`);
}

describe('docs.validate', () => {
  it('finds nothing wrong with a good tree, in a process of its own', async () => {
    const context = await documents(
      {
        'README.md':
          '# Start\n\n[a](a.md), [its part](a.md#part-one), [down](#start), [folder](sub), [up](/a.md), <https://x.example>\n\n' +
          '[by name][b], ![logo](img/logo%201.png)\n\n[b]: sub/b.md?plain=1 "B"\n',
        'a.md': '# A\n\n## Part *one*\n\n[back](./README.md)\n',
        'sub/README.md': '[top](../README.md#start) and mailto:ada@example.org\n',
        'sub/b.md': '',
        'img/logo 1.png': '',
      },
      'process',
    );
    expect(await validate(context)).toMatchObject({
      ok: true,
      pages: 4,
      links: { internal: 9, external: 2 },
      problems: [],
      problem_count: 0,
      coverage: { modules: { documented: 0, total: 0, percent: 100 } },
    });
  });

  const kinds: [string, Record<string, string>, string[]][] = [
    ['a link to nothing', { 'README.md': '# A\n\nSee [it](none.md) here.' }, ['README.md:3:5 dead_link none.md']],
    ['a link without an address', { 'README.md': 'x [it]()' }, ['README.md:1:3 dead_link ']],
    ['a link with a broken escape', { 'README.md': '[it](a%zz.md)' }, ['README.md:1:1 dead_link a%zz.md']],
    ['a heading that is not there', { 'README.md': '# A\n\n- [it](#b)' }, ['README.md:3:3 dead_anchor #b']],
    [
      'a heading that another page does not have',
      { 'README.md': '[it](a.md#c)', 'a.md': '# B' },
      ['README.md:1:1 dead_anchor a.md#c'],
    ],
    ['an image that is not there', { 'README.md': '# A\n\n  ![x](x.png)' }, ['README.md:3:3 missing_image x.png']],
    ['a link out of the tree', { 'README.md': '[it](../src/a.ts)' }, ['README.md:1:1 link_outside ../src/a.ts']],
    ['a reference to nothing', { 'README.md': 'a\nb [it][none] c' }, ['README.md:2:3 undefined_reference none']],
    [
      'a reference that leads to nothing',
      { 'README.md': '[it][ref] and ![x][pic]\n\n[ref]: none.md\n[pic]: none.png' },
      ['README.md:3:1 dead_link none.md', 'README.md:4:1 missing_image none.png'],
    ],
    [
      'pages that nothing leads to, though they lead to each other',
      { 'README.md': '[a](a.md)', 'a.md': '', 'b.md': '[c](c.md)', 'c.md': '[b](b.md) [a](a.md)' },
      ['b.md:1:1 orphan b.md', 'c.md:1:1 orphan c.md'],
    ],
    ['a tree without an index', { 'a.md': '' }, ['README.md:1:1 orphan README.md']],
    [
      'HTML that leads to nothing',
      { 'README.md': '# A\n\n<p>\n  <img alt="x" src="no.png"> <a href=\'no.md\'>x</a>\n</p>' },
      ['README.md:4:3 missing_image no.png', 'README.md:4:30 dead_link no.md'],
    ],
    [
      'links in a table and behind other text',
      { 'README.md': '| a | b |\n| - | - |\n| x | [`y\\|z`](no.md) |' },
      ['README.md:3:7 dead_link no.md'],
    ],
    [
      'a name that differs in its case',
      { 'README.md': '[it](A.md) [too](a.md#Big)', 'a.md': '# Big' },
      ['README.md:1:1 dead_link A.md', 'README.md:1:12 dead_anchor a.md#Big'],
    ],
  ];
  it.each(kinds)('says where there is %s', async (_what, files, problems) => {
    expect(await problemsOf(files)).toEqual(problems);
  });

  const fine: [string, string][] = [
    ['headings of the same text are numbered', '# A\n## A\n## A-1\n[1](#a) [2](#a-1) [3](#a-1-1)'],
    [
      'headings of code, links, other scripts and signs',
      '# `a_b` [c](#x) Über: 日本, *d*!\n## X\n[1](#a_b-c-%C3%BCber-日本-d)',
    ],
    ['ids in HTML', '<a id="here"></a> and <div name="there">\n\n[1](#here) [2](#there)'],
    ['underlined headings', 'Title\n=====\n\n[1](#title)'],
    ['what is code', '`[a](none.md)`\n\n```md\n[a](none.md) [b][c]\n```\n\n    [a](none.md)'],
    ['escaped brackets', 'Map\\[a\\]\\[b\\] and \\[a\\](none.md)'],
    ['comments in HTML', '<!-- [a](none.md) -->'],
    ['footnotes and tasks', 'a[^1]\n\n- [ ] todo\n\n[^1]: see #2'],
  ];
  it.each(fine)('takes no offence at %s', async (_what, text) => {
    expect(await problemsOf({ 'README.md': text })).toEqual([]);
  });

  it('fails on dead links and anchors and links out of the tree, and tells the others', async () => {
    const dead = await documents({ 'README.md': '# A\n\n[x](none.md)\n[y](#none)\n![z](z.png)' });
    await expect(validate(dead)).rejects.toMatchObject({
      name: 'InvalidDocuments',
      class: 'fatal',
      message:
        "the documents must not be published: README.md:3:1 dead_link 'none.md': there is no none.md; and 1 more",
      details: {
        problem_count: 2,
        problems: [
          { line: 3, kind: 'dead_link' },
          { line: 4, kind: 'dead_anchor' },
        ],
      },
    });
    await expect(validate(dead, { fail_on: ['missing_image'] })).rejects.toMatchObject({
      details: { problems: [{ kind: 'missing_image', target: 'z.png' }] },
    });
    const told = await documents({ 'README.md': '![z](z.png)', 'b.md': '' });
    expect(await validate(told)).toMatchObject({ ok: false, problem_count: 2 });
    expect(told.logged.join('\n')).toContain("README.md:1:1 missing_image 'z.png'");
    await expect(validate(await documents({ 'README.md': '[x](../x)' }))).rejects.toMatchObject({
      name: 'InvalidDocuments',
    });
  });

  it('keeps a long list of problems short, and says how many there are', async () => {
    const context = await documents({ 'README.md': '[x](none.md)\n'.repeat(500) });
    const validated = await validate(context, { fail_on: [] });
    expect(validated.problems).toHaveLength(200);
    expect(validated.problem_count).toBe(500);
  });

  it('does not follow links of the file system, and refuses to leave the workspace', async () => {
    const context = await documents({ 'README.md': '[x](linked/secret.md)' });
    await writeFiles(scratch.root, { 'elsewhere/secret.md': '# S' });
    await symlink(join(scratch.root, 'elsewhere'), join(context.workspace, 'docs/linked'));
    expect((await validate(context, { fail_on: [] })).problems).toMatchObject([{ kind: 'dead_link' }]);
    await symlink(join(scratch.root, 'elsewhere'), join(context.workspace, 'out'));
    for (const directory of ['..', '/etc', 'out']) {
      await expect(validate(context, { directory }), directory).rejects.toMatchObject({ name: 'PathNotAllowed' });
    }
    await expect(validate(context, { directory: 'none' })).rejects.toMatchObject({ name: 'NotFound', class: 'fatal' });
  });
});

describe('the coverage that docs.validate tells', () => {
  const files = {
    'a.ts': '/** One. */\nexport const one = 1;\nexport const two = 2;\nconst inner = 3;\nexport * from "./b.ts";\n',
    'b.py': 'def three():\n    """Three."""\n',
    'c.ts': '',
    'd.ts': "export { four as default, 'a  b' as five } from './a.ts';\n",
    'e.ts': "export * from './a.ts';\n",
  };
  async function documented(): Promise<{ context: TestContext; modules: object[] }> {
    const context = scratch.context({ isolation: 'inline' });
    await writeFiles(join(context.workspace, 'repo'), files);
    const { modules } = await runStep<{ modules: object[] }>('code.analyze', context, {});
    for (const module of modules) await runStep('docs.generate', context, { module });
    await runStep('docs.index', context, { modules });
    return { context, modules };
  }

  it('is whole for what docs.generate wrote; comments are counted apart', async () => {
    const { context, modules } = await documented();
    expect(await validate(context, { modules, min_coverage: 100, min_comments: 66 })).toMatchObject({
      ok: true,
      coverage: {
        modules: { documented: 5, total: 5, percent: 100, missing: [] },
        symbols: { documented: 7, total: 7, percent: 100, missing: [] },
        comments: { documented: 2, total: 3, percent: 66.6, missing: ['a.ts: two'] },
      },
    });
    await expect(validate(context, { modules, min_comments: 67 })).rejects.toMatchObject({
      message:
        'the documents must not be published: symbols with a doc comment: 2 of 3 (66.6 %), at least 67 % are wanted',
      details: { missing: { comments: ['a.ts: two'] } },
    });
  });

  it('falls with a page that is missing and with a symbol that its page does not name', async () => {
    const { context, modules } = await documented();
    await writeFiles(join(context.workspace, 'docs'), { 'modules/a.ts.md': '# `a.ts`\n\n## one\n' });
    await rm(join(context.workspace, 'docs/modules/b.py.md'));
    const input = { modules, fail_on: [] };
    const { coverage } = await validate(context, input);
    expect(coverage.modules).toEqual({ documented: 4, total: 5, percent: 80, missing: ['b.py'] });
    expect(coverage.symbols).toEqual({
      documented: 4,
      total: 7,
      percent: 57.1,
      missing: ['a.ts: two', 'a.ts: *', 'b.py: three'],
    });
    await expect(validate(context, { ...input, min_coverage: 60 })).rejects.toMatchObject({
      message: 'the documents must not be published: symbols on their page: 4 of 7 (57.1 %), at least 60 % are wanted',
    });
  });
});
