// Reads comments: what a file says of itself at its top, and what stands above a declaration.
import { ts } from 'ts-morph';
import { blockText, clean, legal, notForReaders, tagAliases } from './comment-text.ts';
import type { SymbolTag } from './module.ts';

export interface Comment {
  text: string;
  tags: SymbolTag[];
}

/** The first comment of the file that is neither legal nor the doc comment of the first declaration; empty where there is none. */
export function fileComment(file: ts.SourceFile): string {
  for (const group of commentGroups(file.text, firstToken(file.text))) {
    const text = group.text;
    if (text === '' || legal.test(text)) continue;
    if (group.kind === 'doc' && belongsToDeclaration(file, group)) return '';
    // Prose of the file's doc comment; its tags (@module, @packageDocumentation) say nothing to readers.
    return dropTags(text);
  }
  return '';
}

/** Doc comment of a declaration; where it has none, the line comments directly above it. */
export function declarationComment(file: ts.SourceFile, node: ts.Node): Comment {
  const docs = ts.getJSDocCommentsAndTags(node).filter(ts.isJSDoc);
  const own = docs.at(-1);
  if (own !== undefined) return readDoc(file, own);
  const start = node.getFullStart();
  const groups = [...commentGroups(file.text, start)];
  const last = groups.at(-1);
  if (last === undefined || last.kind !== 'line') return { text: '', tags: [] };
  const between = file.text.slice(last.end, node.getStart(file));
  const atTop = start === 0 && groups.length === 1 && last.text === fileComment(file);
  return atTop || /\n\s*\n/.test(between) ? { text: '', tags: [] } : { text: last.text, tags: [] };
}

function readDoc(file: ts.SourceFile, doc: ts.JSDoc): Comment {
  const tags = (doc.tags ?? []).flatMap((tag) => {
    // The text as written: the parser's own reading loses the layout of examples.
    const text = clean(ts.getTextOfJSDocComment(tag.comment) ?? '');
    const name = ts.isJSDocParameterTag(tag) || ts.isJSDocPropertyTag(tag) ? entityText(file, tag.name) : '';
    const word = tag.tagName.text;
    return [{ tag: tagAliases[word] ?? word, name, text: text.replace(/^-\s+/, '') }];
  });
  return { text: clean(ts.getTextOfJSDocComment(doc.comment) ?? ''), tags };
}

function entityText(file: ts.SourceFile, name: ts.EntityName): string {
  return name.getText(file);
}

interface CommentGroup {
  kind: 'line' | 'block' | 'doc';
  text: string;
  end: number;
}

/** Comments before a token; neighbouring line comments are one. */
function* commentGroups(source: string, position: number): Generator<CommentGroup> {
  let lines: { text: string; end: number }[] = [];
  const flush = function* (): Generator<CommentGroup> {
    const last = lines.at(-1);
    const text = clean(
      lines
        .map((line) => line.text)
        .filter((line) => !notForReaders.test(line))
        .join('\n'),
    );
    if (last !== undefined && text !== '') yield { kind: 'line', text, end: last.end };
    lines = [];
  };
  for (const range of ts.getLeadingCommentRanges(source, position) ?? []) {
    const raw = source.slice(range.pos, range.end);
    if (range.kind === ts.SyntaxKind.SingleLineCommentTrivia) {
      const previous = lines.at(-1);
      if (previous !== undefined && /\n\s*\n/.test(source.slice(previous.end, range.pos))) yield* flush();
      lines.push({ text: raw.replace(/^\/\/[/!]?\s?/, ''), end: range.end });
      continue;
    }
    yield* flush();
    const text = clean(blockText(raw));
    if (!notForReaders.test(text)) yield { kind: raw.startsWith('/**') ? 'doc' : 'block', text, end: range.end };
  }
  yield* flush();
}

function belongsToDeclaration(file: ts.SourceFile, group: CommentGroup): boolean {
  if (/@(module|file|fileoverview|packageDocumentation|overview)\b/.test(group.text)) return false;
  const first = file.statements[0];
  if (first === undefined || ts.isImportDeclaration(first) || ts.isImportEqualsDeclaration(first)) return false;
  if (group.end > first.getStart(file)) return false;
  // Another doc comment between, or an empty line: then it is the file's.
  const between = file.text.slice(group.end, first.getStart(file));
  return !between.includes('/*') && !/\n\s*\n/.test(between);
}

function dropTags(text: string): string {
  const kept = text.split('\n').filter((line) => !/^@(module|file|packageDocumentation)\b\s*\S*\s*$/.test(line.trim()));
  return clean(kept.join('\n').replace(/^@(file|fileoverview|overview|description)\s+/gm, ''));
}

function firstToken(text: string): number {
  return ts.getShebang(text)?.length ?? 0;
}
