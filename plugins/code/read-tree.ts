// Reads one source file of Python, Go, Rust or Java: its comment and its symbols, by syntax alone.
import { declareGo } from './declare-go.ts';
import { declareJava } from './declare-java.ts';
import { declarePython } from './declare-python.ts';
import { declareRust } from './declare-rust.ts';
import { type Source, slugOf } from './find-sources.ts';
import type { Module } from './module.ts';
import { lineCount } from './source-text.ts';
import { type SyntaxFile, type TreeLanguage, withTree } from './syntax-tree.ts';

/** What a language's own file finds out. */
export type Declared = Pick<Module, 'comment' | 'symbols' | 'package'>;

const declare: Readonly<Record<TreeLanguage, (file: SyntaxFile) => Declared>> = {
  python: declarePython,
  go: declareGo,
  rust: declareRust,
  java: declareJava,
};

/** Equal text gives an equal module. One that cannot be parsed in reasonable time has no symbols and one error. */
export async function readTree(source: Source & { language: TreeLanguage }, text: string): Promise<Module> {
  const { path, language } = source;
  const plain = text.replaceAll('\r\n', '\n');
  const parsed = await withTree({ path, language, text: plain }, declare[language]);
  return {
    path,
    slug: slugOf(path),
    language,
    lines: lineCount(plain),
    ...(parsed?.result ?? { comment: '', symbols: [] }),
    syntaxErrors: parsed?.errors ?? 1,
  };
}
