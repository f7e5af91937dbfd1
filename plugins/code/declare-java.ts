// What a Java file offers: its types with what others may call of them, nested ones under the name of the one around.

import { readJavadoc } from './javadoc.ts';
import { type ModuleSymbol, maxMembers, type SymbolKind, type SymbolMember } from './module.ts';
import type { Declared } from './read-tree.ts';
import { bounded, dedented } from './source-text.ts';
import { childOf, commentsAbove, declarationsIn, type SyntaxFile, type SyntaxNode } from './syntax-tree.ts';

const kinds: Readonly<Record<string, SymbolKind>> = {
  class_declaration: 'class',
  interface_declaration: 'interface',
  enum_declaration: 'enum',
  record_declaration: 'record',
  annotation_type_declaration: 'annotation',
};

/** Pure: equal trees give equal symbols. */
export function declareJava(file: SyntaxFile): Declared {
  const nodes = declarationsIn(file.root);
  const clause = nodes.find((node) => node.type === 'package_declaration');
  const described = /(^|\/)package-info\.java$/.test(file.path)
    ? clause
    : nodes.find((node) => node.type === 'module_declaration');
  return {
    comment: described === undefined ? '' : docAbove(described).comment,
    symbols: nodes.flatMap((node) => typeSymbols(file, node, '', true, false)),
    ...(clause === undefined ? {} : { package: childOf(clause, 'scoped_identifier', 'identifier')?.text ?? '' }),
  };
}

function typeSymbols(
  file: SyntaxFile,
  node: SyntaxNode,
  prefix: string,
  isReachable: boolean,
  isInInterface: boolean,
): ModuleSymbol[] {
  const kind = kinds[node.type];
  if (kind === undefined) return [];
  const name = `${prefix}${node.childForFieldName('name')?.text ?? ''}`;
  const exported = isReachable && isVisible(node, isInInterface);
  const inInterface = kind === 'interface' || kind === 'annotation';
  const body = node.childForFieldName('body');
  const inside =
    body === null
      ? []
      : declarationsIn(body).flatMap((child) =>
          child.type === 'enum_body_declarations' ? declarationsIn(child) : [child],
        );
  const symbol: ModuleSymbol = {
    name,
    kind,
    signature: headOf(file, node),
    ...docAbove(node),
    exported,
    line: node.startPosition.row + 1,
    members: inside.flatMap((child) => membersOf(file, child, inInterface)).slice(0, maxMembers),
  };
  return [symbol, ...inside.flatMap((child) => typeSymbols(file, child, `${name}.`, exported, inInterface))];
}

function membersOf(file: SyntaxFile, node: SyntaxNode, isInInterface: boolean): SymbolMember[] {
  if (node.type === 'enum_constant') {
    const name = node.childForFieldName('name')?.text ?? '';
    const end = node.childForFieldName('arguments') ?? node.childForFieldName('name') ?? node;
    const start = node.childForFieldName('name') ?? node;
    const signature = bounded(dedented(file.text, start.startIndex, end.endIndex));
    return [
      { name, signature: signature.includes('\n') ? `${name}(…)` : signature, ...docAbove(node), kind: 'constant' },
    ];
  }
  if (!isVisible(node, isInInterface)) return [];
  if (node.type === 'field_declaration' || node.type === 'constant_declaration') {
    return node.childrenForFieldName('declarator').map((declarator) => fieldMember(file, node, declarator));
  }
  if (!/^(method|constructor|annotation_type_element)_declaration$/.test(node.type)) return [];
  const kind = node.type === 'constructor_declaration' ? 'constructor' : 'method';
  return [{ name: node.childForFieldName('name')?.text ?? '', signature: headOf(file, node), ...docAbove(node), kind }];
}

function fieldMember(file: SyntaxFile, node: SyntaxNode, declarator: SyntaxNode): SymbolMember {
  const name = declarator.childForFieldName('name')?.text ?? '';
  const type = node.childForFieldName('type');
  const value = declarator.childForFieldName('value');
  const head = `${dedented(file.text, startOf(node), type?.endIndex ?? node.endIndex)} ${name}${declarator.childForFieldName('dimensions')?.text ?? ''}`;
  const isShort = value !== null && value.text.length <= 60 && !value.text.includes('\n');
  return { name, signature: bounded(isShort ? `${head} = ${value.text}` : head), ...docAbove(node), kind: 'field' };
}

/** Annotations in lines of their own, then all up to the body. */
function headOf(file: SyntaxFile, node: SyntaxNode): string {
  const end = node.childForFieldName('body')?.startIndex ?? node.endIndex;
  const annotations = (childOf(node, 'modifiers')?.namedChildren ?? [])
    .filter((child) => /annotation$/.test(child.type) && !/^@(Override|SuppressWarnings|Deprecated)\b/.test(child.text))
    .map((child) =>
      child.text.length <= 80 && !child.text.includes('\n')
        ? child.text
        : `${/^@[\w.]+/.exec(child.text)?.[0] ?? '@'}(…)`,
    );
  return bounded([...annotations, dedented(file.text, startOf(node), end)].join('\n'));
}

/** Behind the annotations. */
function startOf(node: SyntaxNode): number {
  const modifiers = childOf(node, 'modifiers');
  const annotation = modifiers?.children.findLast((child) => /annotation$/.test(child.type));
  if (modifiers === undefined || annotation === undefined) return node.startIndex;
  const next = modifiers.children.find((child) => child.startIndex >= annotation.endIndex);
  return (next ?? modifiers.nextSibling ?? node).startIndex;
}

/** Public or protected; in an interface all that is not private. */
function isVisible(node: SyntaxNode, isInInterface: boolean): boolean {
  const words = childOf(node, 'modifiers')?.children.map((child) => child.type) ?? [];
  return isInInterface ? !words.includes('private') : words.includes('public') || words.includes('protected');
}

function docAbove(node: SyntaxNode): ReturnType<typeof readJavadoc> {
  const last = commentsAbove(node, ['block_comment', 'line_comment']).findLast((comment) =>
    comment.text.startsWith('/**'),
  );
  const read = readJavadoc(last?.text ?? '');
  const isMarked =
    childOf(node, 'modifiers')?.namedChildren.some((child) => /^@Deprecated\b/.test(child.text)) ?? false;
  if (!isMarked || read.tags.some((tag) => tag.tag === 'deprecated')) return read;
  return { ...read, tags: [{ tag: 'deprecated', name: '', text: '' }, ...read.tags] };
}
