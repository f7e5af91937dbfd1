// Parses Python, Go, Rust and Java with tree-sitter: runtime and grammars are loaded when first needed, trees are given back at once.
import { fileURLToPath } from 'node:url';
import type { Language as Grammar, Node, Parser } from 'web-tree-sitter';
import type { Language } from './module.ts';

export type TreeLanguage = Exclude<Language, 'typescript' | 'javascript'>;
export type SyntaxNode = Node;

/** A parsed source. Its nodes end with the call they are given to. */
export interface SyntaxFile {
  root: SyntaxNode;
  text: string;
  path: string;
}

/** Texts that take longer to parse are made to cost time, not to be read. */
const maxParseMs = 10_000;
const maxCountedErrors = 1_000;

// The runtime and the grammars come from two packages: the files are named, so that no search path decides which is taken.
const runtimeUrl = (): string => import.meta.resolve('web-tree-sitter/web-tree-sitter.wasm');
const grammarUrls: Readonly<Record<TreeLanguage, () => string>> = {
  python: () => import.meta.resolve('@vscode/tree-sitter-wasm/wasm/tree-sitter-python.wasm'),
  go: () => import.meta.resolve('@vscode/tree-sitter-wasm/wasm/tree-sitter-go.wasm'),
  rust: () => import.meta.resolve('@vscode/tree-sitter-wasm/wasm/tree-sitter-rust.wasm'),
  java: () => import.meta.resolve('@vscode/tree-sitter-wasm/wasm/tree-sitter-java.wasm'),
};
let runtime: Promise<Parser> | undefined;
const grammars = new Map<TreeLanguage, Promise<Grammar>>();

async function loadRuntime(): Promise<Parser> {
  const { Parser } = await import('web-tree-sitter');
  await Parser.init({ locateFile: () => fileURLToPath(runtimeUrl()) });
  return new Parser();
}

async function loadGrammar(language: TreeLanguage): Promise<Grammar> {
  const { Language } = await import('web-tree-sitter');
  return Language.load(fileURLToPath(grammarUrls[language]()));
}

/** Reads a text by its tree; `errors` are the places that do not fit the grammar. Undefined where parsing takes too long. */
export async function withTree<Result>(
  source: { path: string; language: TreeLanguage; text: string },
  read: (file: SyntaxFile) => Result,
): Promise<{ result: Result; errors: number } | undefined> {
  runtime ??= loadRuntime();
  const parser = await runtime;
  const grammar = grammars.get(source.language) ?? loadGrammar(source.language);
  grammars.set(source.language, grammar);
  parser.setLanguage(await grammar);
  const started = performance.now();
  const tree = parser.parse(source.text, null, { progressCallback: () => performance.now() - started > maxParseMs });
  if (tree === null) {
    // Else the next text would be parsed as the rest of this one.
    parser.reset();
    return undefined;
  }
  try {
    return {
      result: read({ root: tree.rootNode, text: source.text, path: source.path }),
      errors: countErrors(tree.rootNode),
    };
  } finally {
    tree.delete();
  }
}

function countErrors(root: SyntaxNode): number {
  let count = 0;
  const open = [root];
  while (count < maxCountedErrors) {
    const node = open.pop();
    if (node === undefined) break;
    if (node.isError || node.isMissing) count += 1;
    if (node.hasError && !node.isError) open.push(...node.children);
  }
  return count;
}

/** Named children without the places that could not be read; what stands inside of such a place is looked at as well. */
export function declarationsIn(node: SyntaxNode): SyntaxNode[] {
  return node.namedChildren.flatMap((child) => (child.isError ? child.namedChildren : [child]));
}

/** The first child of one of these types. */
export function childOf(node: SyntaxNode, ...types: string[]): SyntaxNode | undefined {
  return node.namedChildren.find((child) => types.includes(child.type));
}

/** Comments that stand directly above a node, top first; nodes of the types in `between` may stand between. */
export function commentsAbove(
  node: SyntaxNode,
  types: readonly string[],
  between: readonly string[] = [],
): SyntaxNode[] {
  const found: SyntaxNode[] = [];
  let below = node;
  for (let above = node.previousNamedSibling; above !== null; above = above.previousNamedSibling) {
    const isComment = types.includes(above.type);
    if ((!isComment && !between.includes(above.type)) || lastRow(above) < below.startPosition.row - 1) break;
    // A comment behind code of its own line is about that code.
    const before = above.previousSibling;
    if (isComment && before !== null && !types.includes(before.type) && lastRow(before) === above.startPosition.row)
      break;
    if (isComment) found.unshift(above);
    below = above;
  }
  return found;
}

/** Some grammars count the line end to a comment. */
function lastRow(node: SyntaxNode): number {
  return node.endPosition.column === 0 ? node.endPosition.row - 1 : node.endPosition.row;
}
