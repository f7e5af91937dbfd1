// What a Rust file offers: items with their documentation, methods of its types, what traits they implement, inline modules.
import { clean } from './comment-text.ts';
import { type ModuleSymbol, maxMembers, type SymbolKind, type SymbolMember, type SymbolTag } from './module.ts';
import type { Declared } from './read-tree.ts';
import { readRustdoc } from './rustdoc.ts';
import { bounded, dedented } from './source-text.ts';
import { childOf, commentsAbove, declarationsIn, type SyntaxFile, type SyntaxNode } from './syntax-tree.ts';

const comments = ['line_comment', 'block_comment'];

const kinds: Readonly<Record<string, SymbolKind>> = {
  function_item: 'function',
  function_signature_item: 'function',
  struct_item: 'struct',
  union_item: 'union',
  enum_item: 'enum',
  trait_item: 'trait',
  type_item: 'type',
  const_item: 'constant',
  static_item: 'static',
  macro_definition: 'macro',
  mod_item: 'module',
};

/** Pure: equal trees give equal symbols. */
export function declareRust(file: SyntaxFile): Declared {
  const inner = file.root.namedChildren.filter(
    (node) => comments.includes(node.type) && node.childForFieldName('inner') !== null,
  );
  const { comment, tags } = readRustdoc(clean(inner.map(docText).join('\n')));
  const sections = tags
    .filter((tag) => tag.tag === 'section' || tag.tag === 'example')
    .map((tag) => `${tag.name || 'Example'}:\n\n${tag.text}`);
  return { comment: [comment, ...sections].join('\n\n').trim(), symbols: items(file, file.root, '', true) };
}

/** Items of a file or of an inline module, whose names go before theirs. */
function items(file: SyntaxFile, block: SyntaxNode, prefix: string, isReachable: boolean): ModuleSymbol[] {
  const nodes = declarationsIn(block);
  const symbols = nodes.flatMap((node) => itemSymbols(file, node, prefix, isReachable));
  for (const node of nodes) if (node.type === 'impl_item') attach(file, node, prefix, isReachable, symbols);
  return symbols;
}

function itemSymbols(file: SyntaxFile, node: SyntaxNode, prefix: string, isReachable: boolean): ModuleSymbol[] {
  if (node.type === 'foreign_mod_item') {
    const body = node.childForFieldName('body');
    return body === null ? [] : items(file, body, prefix, isReachable);
  }
  if (node.type === 'use_declaration') return isReachable && isPublic(node) ? passedOn(node) : [];
  const kind = kinds[node.type];
  const attributes = attributesAbove(node);
  if (kind === undefined || attributes.some((text) => /^#\[cfg\(test\)\]|^#\[test\]/.test(text))) return [];
  const name = `${prefix}${node.childForFieldName('name')?.text ?? ''}`;
  const isVisible =
    kind === 'macro' ? attributes.some((text) => text.startsWith('#[macro_export')) : isReachable && isPublic(node);
  const exported = isVisible && !attributes.some((text) => /^#\[doc\(hidden\)\]/.test(text));
  const { comment, tags } = docAbove(node, attributes);
  const symbol: ModuleSymbol = {
    name,
    kind,
    signature: bounded([...attributes.filter(isShown), itemText(file, node)].join('\n')),
    comment,
    tags,
    exported,
    line: node.startPosition.row + 1,
    members: kind === 'trait' ? membersIn(file, node, true) : [],
  };
  const body = kind === 'module' ? node.childForFieldName('body') : null;
  return body === null ? [symbol] : [symbol, ...items(file, body, `${name}::`, exported)];
}

/** Attributes that readers of the documentation want to know. */
function isShown(attribute: string): boolean {
  return attribute.length <= 100 && /^#\[(derive|repr|non_exhaustive|must_use|target_feature)\b/.test(attribute);
}

function itemText(file: SyntaxFile, node: SyntaxNode): string {
  const body = node.childForFieldName('body');
  const cut = (end: number): string => dedented(file.text, node.startIndex, end);
  if (node.type === 'macro_definition') return macroText(node);
  if (/^(const|static)_item$/.test(node.type)) {
    const value = node.childForFieldName('value');
    if (value === null || (value.text.length <= 60 && !value.text.includes('\n'))) return cut(node.endIndex);
    return cut(node.childForFieldName('type')?.endIndex ?? node.endIndex);
  }
  if (body === null || node.type === 'enum_item' || body.type === 'ordered_field_declaration_list')
    return cut(node.endIndex);
  if (node.type === 'struct_item' || node.type === 'union_item') {
    const head = cut(body.startIndex);
    return `${head}${/\nwhere\b/.test(head) ? '\n' : ' '}${fieldsText(file, body)}`;
  }
  return cut(body.startIndex);
}

function fieldsText(file: SyntaxFile, body: SyntaxNode): string {
  const fields = body.namedChildren.filter((child) => child.type === 'field_declaration');
  const shown = fields.filter(isPublic);
  const lines = shown.flatMap((field) => [
    ...commentsAbove(field, comments, ['attribute_item']).map((comment) => comment.text.trimEnd()),
    `${dedented(file.text, field.startIndex, field.endIndex)},`,
  ]);
  if (shown.length < fields.length) lines.push('// private fields');
  return lines.length === 0 ? '{}' : `{\n${lines.join('\n').replace(/^(?=.)/gm, '    ')}\n}`;
}

function macroText(node: SyntaxNode): string {
  const rules = node.namedChildren.filter((child) => child.type === 'macro_rule');
  const patterns = rules.map((rule) => `    ${rule.childForFieldName('left')?.text ?? '()'} => { … };`);
  return `macro_rules! ${node.childForFieldName('name')?.text ?? ''} {\n${patterns.join('\n')}\n}`;
}

/** An `impl` block's members go to its type; where another file declares that, its methods stand alone. */
function attach(
  file: SyntaxFile,
  node: SyntaxNode,
  prefix: string,
  isReachable: boolean,
  symbols: ModuleSymbol[],
): void {
  const owner = baseType(node.childForFieldName('type'));
  const type = symbols.find(
    (symbol) => symbol.name === `${prefix}${owner}` && /^(struct|enum|union|type|trait)$/.test(symbol.kind),
  );
  const trait = node.childForFieldName('trait');
  if (trait !== null) {
    const signature = bounded(
      dedented(file.text, node.startIndex, node.childForFieldName('body')?.startIndex ?? node.endIndex),
    );
    type?.members.push({ name: trait.text, signature, comment: '', kind: 'implementation' });
    return;
  }
  const members = membersIn(file, node, false);
  if (type !== undefined) type.members = [...type.members, ...members].slice(0, maxMembers);
  else {
    for (const { name, signature, comment, tags } of members) {
      const line = node.startPosition.row + 1;
      symbols.push({
        name: `${prefix}${owner}::${name}`,
        kind: 'method',
        signature,
        comment,
        tags: tags ?? [],
        exported: isReachable,
        line,
        members: [],
      });
    }
  }
}

/** `Point` of `&mut geo::Point<T>`. */
function baseType(node: SyntaxNode | null): string {
  if (node === null || node.type === 'type_identifier') return node?.text ?? '';
  const inner =
    node.childForFieldName('name') ??
    node.childForFieldName('type') ??
    childOf(node, 'type_identifier', 'generic_type');
  return inner === undefined ? '' : baseType(inner);
}

/** All of a trait, what is public of a type. */
function membersIn(file: SyntaxFile, node: SyntaxNode, isTrait: boolean): SymbolMember[] {
  const body = node.childForFieldName('body');
  if (body === null) return [];
  return declarationsIn(body).flatMap((item): SymbolMember[] => {
    const name = item.childForFieldName('name')?.text;
    if (name === undefined || !(isTrait || isPublic(item))) return [];
    const isFunction = /^function_/.test(item.type);
    const attributes = attributesAbove(item);
    if (attributes.some((text) => /^#\[doc\(hidden\)\]/.test(text))) return [];
    const { comment, tags } = docAbove(item, attributes);
    const given = isTrait && item.type === 'function_item' ? ' { … }' : '';
    const signature = bounded([...attributes.filter(isShown), `${itemText(file, item)}${given}`].join('\n'));
    return [{ name, signature, comment, tags, kind: isFunction ? 'method' : isTrait ? 'field' : 'constant' }];
  });
}

/** `pub use` of several names is one symbol for each. */
function passedOn(node: SyntaxNode): ModuleSymbol[] {
  const argument = node.childForFieldName('argument');
  return (argument === null ? [] : leaves(argument, '')).map(({ name, path }) => ({
    name,
    kind: 're-export',
    signature: `pub use ${path}`,
    comment: docAbove(node, []).comment,
    tags: [],
    exported: true,
    line: node.startPosition.row + 1,
    members: [],
  }));
}

function leaves(node: SyntaxNode, prefix: string): { name: string; path: string }[] {
  if (node.type === 'scoped_use_list') {
    const path = node.childForFieldName('path')?.text ?? '';
    const list = node.childForFieldName('list');
    return list === null ? [] : leaves(list, `${prefix}${path}::`);
  }
  if (node.type === 'use_list')
    return node.namedChildren
      .filter((child) => !comments.includes(child.type))
      .flatMap((child) => leaves(child, prefix));
  const path = `${prefix}${node.text}`;
  if (node.type === 'use_wildcard') return [{ name: '*', path }];
  if (node.type === 'self') return [{ name: prefix.split('::').at(-2) ?? 'self', path: prefix.replace(/::$/, '') }];
  const name = node.childForFieldName('alias')?.text ?? node.childForFieldName('name')?.text ?? node.text;
  return [{ name, path }];
}

/** `pub` alone: `pub(crate)` is for the crate. */
function isPublic(node: SyntaxNode): boolean {
  return childOf(node, 'visibility_modifier')?.text === 'pub';
}

function attributesAbove(node: SyntaxNode): string[] {
  return commentsAbove(node, ['attribute_item'], comments).map((attribute) => attribute.text.replace(/\s+/g, ' '));
}

function docAbove(node: SyntaxNode, attributes: readonly string[]): { comment: string; tags: SymbolTag[] } {
  const docs = commentsAbove(node, comments, ['attribute_item']).filter(
    (comment) => comment.childForFieldName('outer') !== null,
  );
  const read = readRustdoc(clean(docs.map(docText).join('\n')));
  const deprecated = attributes.find((text) => text.startsWith('#[deprecated'));
  if (deprecated === undefined) return read;
  const note = /note = "((?:[^"\\]|\\.)*)"/.exec(deprecated)?.[1] ?? '';
  return { ...read, tags: [{ tag: 'deprecated', name: '', text: note }, ...read.tags] };
}

function docText(comment: SyntaxNode): string {
  const text = comment.childForFieldName('doc')?.text.replace(/\n$/, '') ?? '';
  if (comment.type === 'line_comment') return text.replace(/^ /, '');
  return text
    .split('\n')
    .map((line) => line.replace(/^\s*\* ?/, ''))
    .join('\n')
    .trim();
}
