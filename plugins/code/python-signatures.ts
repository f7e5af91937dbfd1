// Cuts out of a Python tree what readers see of a declaration: heads with decorators, short values, docstrings.
import { clean } from './comment-text.ts';
import { type DocText, readDocstring } from './python-docstring.ts';
import { bounded, dedented } from './source-text.ts';
import { childOf, type SyntaxFile, type SyntaxNode } from './syntax-tree.ts';

export function callable(file: SyntaxFile, statement: SyntaxNode): string {
  const node = statement.childForFieldName('definition') ?? statement;
  const end = node.childForFieldName('return_type') ?? node.childForFieldName('parameters') ?? node;
  const head = dedented(file.text, node.startIndex, end.endIndex);
  return bounded([...decorators(file, statement), head].join('\n'), '#');
}

export function decorators(file: SyntaxFile, statement: SyntaxNode): string[] {
  if (statement.type !== 'decorated_definition') return [];
  return statement.namedChildren
    .filter((child) => child.type === 'decorator')
    .map((child) => {
      const text = dedented(file.text, child.startIndex, child.endIndex);
      return text.length <= 100 && !text.includes('\n') ? text : `${/^@[\w.]+/.exec(text)?.[0] ?? '@'}(…)`;
    });
}

export function assigned(
  file: SyntaxFile,
  statement: SyntaxNode,
  next: SyntaxNode | undefined,
): { name: string; signature: string; comment: string }[] {
  const node = statement.type === 'expression_statement' ? statement.namedChild(0) : null;
  const left = node?.childForFieldName('left');
  if (node?.type !== 'assignment' || left === null || left === undefined) return [];
  const targets =
    left.type === 'identifier' ? [left] : left.namedChildren.filter((child) => child.type === 'identifier');
  if (!['identifier', 'pattern_list', 'tuple_pattern'].includes(left.type)) return [];
  const type = node.childForFieldName('type');
  const value = node.childForFieldName('right');
  const comment = next === undefined ? undefined : docstring(next);
  return targets.map((target) => {
    const head = type === null ? target.text : `${target.text}: ${dedented(file.text, type.startIndex, type.endIndex)}`;
    const shown = value === null || targets.length > 1 ? '' : shortValue(value, type !== null);
    return { name: target.text, signature: `${head}${shown}`, comment: comment ?? hashComment(statement) };
  });
}

function shortValue(value: SyntaxNode, isTyped: boolean): string {
  if (value.text.length <= (isTyped ? 60 : 100) && !value.text.includes('\n')) return ` = ${value.text}`;
  if (isTyped) return '';
  const called = value.type === 'call' ? value.childForFieldName('function')?.text : undefined;
  if (called !== undefined && called.length <= 80 && !called.includes('\n')) return ` = ${called}(…)`;
  const around: Readonly<Record<string, string>> = { dictionary: '{…}', set: '{…}', list: '[…]', tuple: '(…)' };
  return ` = ${around[value.type] ?? '…'}`;
}

function hashComment(statement: SyntaxNode): string {
  const lines: string[] = [];
  let row = statement.startPosition.row;
  for (
    let above = statement.previousNamedSibling;
    above?.type === 'comment' && above.endPosition.row === row - 1;
    above = above.previousNamedSibling
  ) {
    if (!above.text.startsWith('#:')) break;
    lines.unshift(above.text.replace(/^#: ?/, ''));
    row -= 1;
  }
  return clean(lines.join('\n'));
}

export function docOf(node: SyntaxNode): DocText {
  const first = node.childForFieldName('body')?.namedChildren.find((child) => child.type !== 'comment');
  return readDocstring(first === undefined ? '' : (docstring(first) ?? ''));
}

export function docstring(statement: SyntaxNode): string | undefined {
  const only =
    statement.type === 'expression_statement' && statement.namedChildCount === 1 ? statement.namedChild(0) : null;
  if (only?.type !== 'string' || /^[rRuU]?["']/.exec(only.text) === null) return undefined;
  return stringText(only);
}

export function stringText(node: SyntaxNode): string {
  const start = childOf(node, 'string_start')?.text ?? '';
  const text = node.namedChildren
    .filter((child) => child.type !== 'string_start' && child.type !== 'string_end')
    .map((child) => child.text)
    .join('');
  return /r/i.test(start) ? text : text.replace(/\\\n/g, '').replace(/\\(["'\\])/g, '$1');
}
