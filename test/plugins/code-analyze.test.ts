// Checks code.analyze: what it reads of TypeScript and JavaScript, what it leaves out, and that it always says the same.
import { mkdir, readFile, symlink, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createMatcher } from '../../plugins/code/glob.ts';
import type { Module } from '../../plugins/code/module.ts';
import { readModule } from '../../plugins/code/read-module.ts';
import { packageRoot } from '../../src/base/package-root.ts';
import { createScratch, readTree, runStep, type Scratch, type TestContext, writeFiles } from './git-scratch.ts';

interface Analysis {
  modules: { path: string; slug: string; language: string; symbols: number; lines: number }[];
  files: number;
  symbols: number;
  skipped: Record<string, number>;
  note: string | null;
}

let scratch: Scratch;
beforeEach(async () => {
  scratch = await createScratch();
});
afterEach(() => scratch.remove());

const analyze = (context: TestContext, input: Record<string, unknown> = {}): Promise<Analysis> =>
  runStep<Analysis>('code.analyze', context, input);

async function workspaceWith(
  files: Record<string, string>,
  isolation: 'inline' | 'process' = 'inline',
): Promise<TestContext> {
  const context = scratch.context({ isolation });
  await mkdir(join(context.workspace, 'repo'), { recursive: true });
  await writeFiles(join(context.workspace, 'repo'), files);
  return context;
}

const paths = (analysis: Analysis): string[] => analysis.modules.map((module) => module.path);

describe('code.analyze', () => {
  it('runs in a process of its own, and leaves the details of every module in the workspace', async () => {
    const context = await workspaceWith(
      { 'b.ts': 'export const b = 1;\n', 'a b/ü.js': '// What it is.\nexports.x = 1;\n' },
      'process',
    );
    const analysis = await analyze(context);
    expect(analysis).toMatchObject({ files: 2, symbols: 2, note: null });
    expect(paths(analysis)).toEqual(['a b/ü.js', 'b.ts']);
    const [first] = analysis.modules;
    const stored = JSON.parse(
      await readFile(join(context.workspace, '.cronwright/analysis', `${first?.slug}.json`), 'utf8'),
    ) as Module;
    expect(stored).toMatchObject({ path: 'a b/ü.js', language: 'javascript', lines: 2, comment: 'What it is.' });
    expect(JSON.stringify([analysis, await readTree(join(context.workspace, '.cronwright'))])).not.toContain(
      scratch.root,
    );
  });

  it('leaves out dependencies, results, hidden and minified files, and does not follow links', async () => {
    const context = await workspaceWith({
      'src/a.ts': 'export {};',
      'src/style.css': '',
      'node_modules/x/index.js': '',
      'src/node_modules/y.ts': '',
      'dist/a.js': '',
      'vendor/z.js': '',
      '.hidden/a.ts': '',
      'src/.eslintrc.js': '',
      'lib.min.js': '',
      'bundle.js': `x=${'1+'.repeat(3_000)}1`,
    });
    await writeFiles(scratch.root, { 'elsewhere/secret.ts': 'export const secret = 1;' });
    await symlink(join(scratch.root, 'elsewhere'), join(context.workspace, 'repo', 'linked'));
    await symlink(join(scratch.root, 'elsewhere/secret.ts'), join(context.workspace, 'repo', 'secret.ts'));
    const analysis = await analyze(context);
    expect(paths(analysis)).toEqual(['src/a.ts']);
    expect(analysis.note).toBe('left out: 1 minified files');
  });

  it('keeps to include, exclude and languages', async () => {
    const context = await workspaceWith({
      'src/a.ts': '',
      'src/a.test.ts': '',
      'src/deep/b.js': '',
      'test/c.ts': '',
      'd.ts': '',
    });
    expect(paths(await analyze(context, { exclude: ['*.test.*', 'test'] }))).toEqual([
      'd.ts',
      'src/a.ts',
      'src/deep/b.js',
    ]);
    expect(paths(await analyze(context, { include: ['src/**'], languages: ['javascript'] }))).toEqual([
      'src/deep/b.js',
    ]);
    expect(paths(await analyze(context, { include: ['*/*.ts'] }))).toEqual(['src/a.test.ts', 'src/a.ts', 'test/c.ts']);
  });

  it('is bounded in files and bytes, and says what is missing', async () => {
    const context = await workspaceWith({ 'a.ts': '', 'b.ts': '', 'c.ts': '', 'large.ts': '' });
    await truncate(join(context.workspace, 'repo/large.ts'), 5_000);
    const few = await analyze(context, { max_files: 2 });
    expect(few).toMatchObject({ files: 2, note: 'left out: 2 files over max_files', skipped: { over_limit: 2 } });
    expect(paths(few)).toEqual(['a.ts', 'b.ts']);
    const small = await analyze(context, { max_file_bytes: 4_000 });
    expect(small).toMatchObject({ files: 3, note: 'left out: 1 files over max_file_bytes' });
  });

  it('keeps the output below its limit, and puts the whole list into an artifact', async () => {
    const folder = `${'long folder name '.repeat(10)}/${'and another one '.repeat(10)}`;
    const files = Array.from({ length: 2_200 }, (_, at) => [`${folder}/${at}.ts`, ''] as const);
    const context = await workspaceWith(Object.fromEntries(files));
    const analysis = await analyze(context);
    expect(analysis.files).toBe(2_200);
    expect(Buffer.byteLength(JSON.stringify(analysis))).toBeLessThan(1_000_000);
    expect(analysis.modules.length).toBeLessThan(2_200);
    expect(analysis.note).toContain(`${2_200 - analysis.modules.length} modules that did not fit`);
    expect(JSON.parse(context.artifacts[0]?.content ?? '')).toHaveLength(2_200);
  });

  it('says what is missing where there is no checkout, and refuses to leave the workspace', async () => {
    const context = await workspaceWith({});
    await expect(analyze(context, { path: 'none' })).rejects.toMatchObject({ name: 'NotFound', class: 'fatal' });
    await symlink('/etc', join(context.workspace, 'out'));
    for (const path of ['..', '/etc', 'out']) {
      await expect(analyze(context, { path }), path).rejects.toMatchObject({ name: 'PathNotAllowed' });
    }
  });

  it('reads this very project in seconds, twice alike, by relative paths only', async () => {
    const { cp } = await import('node:fs/promises');
    // One copy for both: people may work on this project meanwhile.
    const copy = join(scratch.root, 'project');
    await cp(join(packageRoot, 'src'), copy, { recursive: true });
    const started = performance.now();
    const runs: string[] = [];
    for (const _ of [1, 2]) {
      const context = scratch.context({ isolation: 'inline' });
      await mkdir(context.workspace);
      await symlink(packageRoot, join(context.workspace, 'nowhere'));
      await cp(copy, join(context.workspace, 'repo/src'), { recursive: true });
      const analysis = await analyze(context);
      runs.push(JSON.stringify([analysis, await readTree(join(context.workspace, '.cronwright/analysis'))]));
      expect(analysis.files).toBeGreaterThan(20);
      expect(analysis.modules.every((module) => module.path.startsWith('src/'))).toBe(true);
    }
    expect(runs[0]).toBe(runs[1]);
    expect(runs[0]).not.toContain(packageRoot);
    expect(performance.now() - started).toBeLessThan(20_000);
  });
});

const read = (text: string, path = 'a.ts'): Module =>
  readModule({ path, language: /\.[cm]?jsx?$/.test(path) ? 'javascript' : 'typescript' }, text);
const signatures = (text: string, path?: string): Record<string, string> =>
  Object.fromEntries(read(text, path).symbols.map((symbol) => [symbol.name, symbol.signature]));
const exportsOf = (text: string, path?: string): string[] =>
  read(text, path)
    .symbols.filter((symbol) => symbol.exported)
    .map((symbol) => `${symbol.kind} ${symbol.name}`);

describe('the signature of', () => {
  const cases: [string, string, string][] = [
    [
      'a function',
      'export async function f<T>(a: T, { b = 1 }: { b?: number } = {}): Promise<T> { return a; }',
      'async function f<T>(a: T, { b = 1 }: { b?: number } = {}): Promise<T>',
    ],
    ['a generator', 'function* f() { yield 1; }', 'function* f()'],
    ['an ambient function', 'export declare function f(a: string): void;', 'function f(a: string): void'],
    [
      'an arrow function',
      'export const f = async (a: number): Promise<void> => { g(); };',
      'const f = async (a: number): Promise<void> => …',
    ],
    ['a function value', 'export const f = function named(a) { g(); };', 'const f = function named(a)'],
    [
      'a typed constant with a long value',
      "const f: Record<string, string> = {\n  a: 'b',\n};",
      'const f: Record<string, string>',
    ],
    ['a typed constant with a short value', 'const f: number = 5;', 'const f: number = 5'],
    ['a short constant', 'export const f = [1, 2] as const;', 'const f = [1, 2] as const'],
    ['a call with a long argument', `export const f = z.object({\n  a: 1,\n});`, 'const f = z.object(…)'],
    ['a long object', `let f = { ${'a: 1, '.repeat(50)} };`, 'let f = { … }'],
    ['a type', "export type f =\n  | 'a'\n  | 'b';", "type f =\n  | 'a'\n  | 'b'"],
    ['an interface', 'export default interface f { a: string }', 'interface f { a: string }'],
    ['an enum', 'export const enum f { A = 1 }', 'const enum f { A = 1 }'],
    [
      'a class',
      'export abstract class f<T extends { a: 1 }> extends B<{ c: 2 }> implements D { }',
      'abstract class f<T extends { a: 1 }> extends B<{ c: 2 }> implements D',
    ],
    ['a decorated class', '@dec({ a: 1 })\nexport class f { }', 'class f'],
    ['a namespace', 'export namespace f { export const a = 1; }', 'namespace f'],
  ];
  it.each(cases)('%s', (_what, text, signature) => {
    expect(signatures(text).f).toBe(signature);
  });

  it('overloads is theirs, without the one of the body', () => {
    const text =
      '/** First. */\nexport function f(a: string): string;\nexport function f(a: number): number;\nexport function f(a: unknown) { return a; }';
    expect(read(text).symbols).toMatchObject([
      { name: 'f', signature: 'function f(a: string): string\nfunction f(a: number): number', comment: 'First.' },
    ]);
  });

  it('something very long is cut, and says so', () => {
    const text = `export type f = {\n${'  a: string;\n'.repeat(500)}};`;
    expect(signatures(text).f).toMatch(/\/\/ … shortened: 502 lines in all$/);
  });
});

describe('what a module exports', () => {
  it('is found wherever it is declared and however it is named', () => {
    const text = `
      const a = 1, b = 2, inner = 3;
      class C {}
      type T = 1;
      export { a, b as renamed, type T };
      export default C;
      export const { d, e: [f] } = x;
      export * from './all.ts';
      export * as space from './space.ts';
      export { g, h as i } from './some.ts';
      export type { J } from './types.ts';`;
    expect(exportsOf(text)).toEqual([
      'constant a',
      'constant renamed',
      'class C',
      'type T',
      'constant d',
      'constant f',
      're-export *',
      're-export space',
      're-export g',
      're-export i',
      're-export J',
    ]);
    expect(signatures(text)['*']).toBe("export * from './all.ts'");
  });

  it('is found in CommonJS', () => {
    const text = `
      function a() {}
      const b = 1;
      module.exports = { a, renamed: b, c() {} };
      exports.d = (x) => x;
      module.exports.e = function (y) { return y; };`;
    expect(exportsOf(text, 'a.cjs')).toEqual(['function a', 'constant renamed', 'function d', 'function e']);
    expect(exportsOf('module.exports = createIt({});', 'a.js')).toEqual(['constant default']);
  });

  it('is named default where it has no name', () => {
    expect(exportsOf('export default function () {}')).toEqual(['function default']);
    expect(exportsOf('export default { a: 1 };')).toEqual(['constant default']);
    expect(exportsOf('export = x;')).toEqual(['constant default']);
  });

  it('are of a class only the public members', () => {
    const [found] = read(`export class C {
      /** How many. */
      readonly count: number = 0;
      static make = (a: string): C => new C();
      private hidden = 1;
      #secret = 2;
      protected inner(): void {}
      constructor(private readonly a: string) {}
      get size(): number { return 1; }
      async go(a: string,
        b: number): Promise<void> { }
    }`).symbols;
    expect(found?.members).toEqual([
      { name: 'count', signature: 'readonly count: number', comment: 'How many.' },
      { name: 'make', signature: 'static make = (a: string): C => …', comment: '' },
      { name: 'constructor', signature: 'constructor(private readonly a: string)', comment: '' },
      { name: 'size', signature: 'get size(): number', comment: '' },
      { name: 'go', signature: 'async go(a: string,\n  b: number): Promise<void>', comment: '' },
    ]);
  });
});

describe('the comment', () => {
  it('of a file is its first that is not about law', () => {
    expect(read('#!/usr/bin/env node\n// Copyright 2026 Ada\n\n// Does a thing.\n// Twice.\nimport "x";').comment).toBe(
      'Does a thing.\nTwice.',
    );
    expect(
      read('/* SPDX-License-Identifier: MIT */\n/**\n * @module\n * The *thing*.\n */\nexport const a = 1;').comment,
    ).toBe('The *thing*.');
    expect(read('// eslint-disable-next-line no-x\n/** Of a. */\nexport const a = 1;').comment).toBe('');
    expect(read('export const a = 1;').comment).toBe('');
  });

  it('of a symbol is its doc comment, with tags, else the lines right above it', () => {
    const [doc, lines, apart] = read(`import x from 'x';
/**
 * Does it, see {@link other}.
 *
 * @param a - the thing
 * @returns what came of it
 * @example
 * f(1);
 *   indented();
 */
export function doc(a: number) {}

// Said before.
// And more.
export const lines = 1;

// Of nothing.

export const apart = 1;`).symbols;
    expect(doc).toMatchObject({
      comment: 'Does it, see {@link other}.',
      tags: [
        { tag: 'param', name: 'a', text: 'the thing' },
        { tag: 'returns', name: '', text: 'what came of it' },
        { tag: 'example', name: '', text: 'f(1);\n  indented();' },
      ],
    });
    expect(lines?.comment).toBe('Said before.\nAnd more.');
    expect(apart?.comment).toBe('');
  });

  it('of the file is not the comment of its first symbol', () => {
    expect(read('// Of the file.\nexport const a = 1;')).toMatchObject({
      comment: 'Of the file.',
      symbols: [{ comment: '' }],
    });
    expect(read('// Of the file.\n\n// Of a.\nexport const a = 1;')).toMatchObject({
      comment: 'Of the file.',
      symbols: [{ comment: 'Of a.' }],
    });
  });

  it('of a broken file is read as far as possible', () => {
    const module = read('// It is.\nexport function f(a { return 1;\nexport const b = ');
    expect(module.comment).toBe('It is.');
    expect(module.syntaxErrors).toBeGreaterThan(0);
  });

  it('counts lines from one, of any line ending', () => {
    expect(read('// x\r\n\r\n/** A.\r\n * B. */\r\nexport const a = 1;\r\n')).toMatchObject({
      lines: 5,
      symbols: [{ name: 'a', line: 5, comment: 'A.\nB.', signature: 'const a = 1' }],
    });
    expect(read('export const a = 1;\r\nexport interface B {\r\n  c: 1;\r\n}\r\n').symbols[1]?.signature).toBe(
      'interface B {\n  c: 1;\n}',
    );
  });
});

describe('a pattern', () => {
  const cases: [string, string[], string[]][] = [
    ['*.ts', ['a.ts', 'x/y/b.ts'], ['a.tsx', 'ts']],
    ['src/*.ts', ['src/a.ts'], ['src/x/a.ts', 'a/src/a.ts']],
    ['src/**', ['src/a', 'src/x/y'], ['srcs/a']],
    ['**/x/*.js', ['x/a.js', 'a/b/x/c.js'], ['x/y/a.js']],
    ['test', ['test', 'test/a', 'a/test/b'], ['tests/a', 'a.test']],
    ['a.{js,ts}', ['a.js', 'b/a.ts'], ['a.jsx', 'axjs']],
    ['a?(b)+[c].ts', ['ax(b)+[c].ts'], ['a(b)+[c].ts']],
    ['./src/', ['src/a'], ['a/b']],
  ];
  it.each(cases)('%s', (pattern, fits, fitsNot) => {
    const matches = createMatcher([pattern]);
    expect([fits.filter(matches), fitsNot.filter(matches)]).toEqual([fits, []]);
  });
});
