// What a Go file offers: package comment, functions, types with methods, constants and variables.
import { clean, fenceIndented, legal } from './comment-text.ts';
import { type ModuleSymbol, maxMembers, type SymbolKind, type SymbolTag } from './module.ts';
import type { Declared } from './read-tree.ts';
import { bounded, dedented } from './source-text.ts';
import { childOf, commentsAbove, declarationsIn, type SyntaxFile, type SyntaxNode } from './syntax-tree.ts';

/** Pure: equal trees give equal symbols. */
export function declareGo(file: SyntaxFile): Declared {
  const nodes = declarationsIn(file.root);
  const clause = nodes.find((node) => node.type === 'package_clause');
  const symbols = nodes.flatMap((node) => symbolsOf(file, node));
  attachMethods(file, nodes, symbols);
  const above = clause === undefined ? '' : docAbove(clause).comment;
  return {
    comment: legal.test(above) ? '' : above,
    symbols,
    ...(clause === undefined ? {} : { package: clause.namedChild(0)?.text ?? '' }),
  };
}

function symbolsOf(file: SyntaxFile, node: SyntaxNode): ModuleSymbol[] {
  if (node.type === 'function_declaration') {
    const name = node.childForFieldName('name')?.text ?? '';
    // As many as there are, and nobody calls them.
    if (name === 'init' || name === '_') return [];
    return [{ ...symbolAt(node, name), kind: 'function', signature: headOf(file, node), ...docAbove(node) }];
  }
  if (node.type === 'type_declaration') {
    const specs = declarationsIn(node).filter((spec) => spec.type === 'type_spec' || spec.type === 'type_alias');
    return specs.map((spec) => typeSymbol(file, spec, specs.length > 1 || docAbove(node).comment === '' ? spec : node));
  }
  if (node.type === 'const_declaration' || node.type === 'var_declaration') return valueSymbols(node);
  return [];
}

function typeSymbol(file: SyntaxFile, spec: SyntaxNode, documented: SyntaxNode): ModuleSymbol {
  const type = spec.childForFieldName('type');
  const kinds: Readonly<Record<string, SymbolKind>> = { struct_type: 'struct', interface_type: 'interface' };
  const kind = kinds[type?.type ?? ''] ?? 'type';
  const signature =
    kind === 'struct' && type !== null
      ? structText(file, spec, type)
      : dedented(file.text, spec.startIndex, spec.endIndex);
  const name = spec.childForFieldName('name')?.text ?? '';
  return { ...symbolAt(spec, name), kind, signature: bounded(`type ${signature}`), ...docAbove(documented) };
}

/** Without the fields that other packages cannot reach. */
function structText(file: SyntaxFile, spec: SyntaxNode, type: SyntaxNode): string {
  const list = childOf(type, 'field_declaration_list');
  const head = dedented(file.text, spec.startIndex, list?.startIndex ?? spec.endIndex);
  const fields = list?.namedChildren.filter((child) => child.type === 'field_declaration') ?? [];
  const shown = fields.filter((field) => fieldNames(field).some(isExported));
  const lines = shown.flatMap((field) => [
    ...commentsAbove(field, ['comment']).map((comment) => comment.text),
    fieldText(file, field),
  ]);
  if (shown.length < fields.length) lines.push('// contains fields that are not exported');
  if (lines.length === 0) return `${head} {}`;
  return `${head} {\n${lines.join('\n').replace(/^(?=.)/gm, '\t')}\n}`;
}

/** An embedded type is a field of its own name. */
function fieldNames(field: SyntaxNode): string[] {
  const names = field.childrenForFieldName('name').map((name) => name.text);
  if (names.length > 0) return names;
  return [/([\p{L}\p{N}_]+)(\[.*)?$/su.exec(field.childForFieldName('type')?.text ?? '')?.[1] ?? ''];
}

function fieldText(file: SyntaxFile, field: SyntaxNode): string {
  const names = field.childrenForFieldName('name');
  const text = dedented(file.text, field.startIndex, field.endIndex);
  const last = names.at(-1);
  const shown = names.filter((name) => isExported(name.text));
  const all = last === undefined || shown.length === names.length;
  const own = all
    ? text
    : `${shown.map((name) => name.text).join(', ')}${file.text.slice(last.endIndex, field.endIndex)}`;
  const next = field.nextNamedSibling;
  return next?.type === 'comment' && next.startPosition.row === field.endPosition.row ? `${own} ${next.text}` : own;
}

function valueSymbols(node: SyntaxNode): ModuleSymbol[] {
  const keyword = node.type === 'const_declaration' ? 'const' : 'var';
  const kind = keyword === 'const' ? 'constant' : 'variable';
  const specs = declarationsIn(childOf(node, 'var_spec_list') ?? node).filter((spec) =>
    /^(const|var)_spec$/.test(spec.type),
  );
  let repeated: string | undefined;
  return specs.flatMap((spec) => {
    const type = spec.childForFieldName('type')?.text;
    const value = spec.childForFieldName('value');
    // A constant without a value has the type and the expression of the one before.
    repeated = value === null ? repeated : type;
    const names = spec.childrenForFieldName('name').filter((name) => name.type === 'identifier' && name.text !== '_');
    const own = docAbove(spec);
    const doc = own.comment === '' && specs.length === 1 ? docAbove(node) : own;
    const said = doc.comment === '' ? { ...doc, comment: trailingComment(spec) } : doc;
    return names.map((name): ModuleSymbol => {
      const shown = value === null || names.length > 1 ? '' : ` = ${shortValue(value.text)}`;
      const typed = (type ?? (value === null ? repeated : undefined)) === undefined ? '' : ` ${type ?? repeated}`;
      return {
        ...symbolAt(spec, name.text),
        kind,
        signature: bounded(`${keyword} ${name.text}${typed}${shown}`),
        ...said,
      };
    });
  });
}

function shortValue(text: string): string {
  if (text.length <= 100 && !text.includes('\n')) return text;
  const head = /^[^({\n]{1,80}(?=[({])/.exec(text)?.[0];
  if (head === undefined) return '…';
  return text[head.length] === '(' ? `${head}(…)` : `${head}{…}`;
}

/** Methods go to the type of their receiver; where another file declares it they stand alone. */
function attachMethods(file: SyntaxFile, nodes: readonly SyntaxNode[], symbols: ModuleSymbol[]): void {
  const types = new Map(
    symbols.filter((symbol) => /^(struct|interface|type)$/.test(symbol.kind)).map((symbol) => [symbol.name, symbol]),
  );
  for (const node of nodes.filter((each) => each.type === 'method_declaration')) {
    const name = node.childForFieldName('name')?.text ?? '';
    const owner = receiverType(node);
    const type = types.get(owner);
    const { comment, tags } = docAbove(node);
    const signature = headOf(file, node);
    if (type === undefined) {
      const exported = isExported(owner) && isExported(name);
      symbols.push({ ...symbolAt(node, `${owner}.${name}`), kind: 'method', signature, comment, tags, exported });
    } else if (isExported(name) && type.members.length < maxMembers) {
      type.members.push({ name, signature, comment, tags, kind: 'method' });
    }
  }
}

/** `Order` of `(o *Order[T])`. */
function receiverType(node: SyntaxNode): string {
  const receiver = node.childForFieldName('receiver')?.descendantsOfType('parameter_declaration')[0];
  return receiver?.childForFieldName('type')?.descendantsOfType('type_identifier')[0]?.text ?? '';
}

function headOf(file: SyntaxFile, node: SyntaxNode): string {
  const head = dedented(file.text, node.startIndex, node.childForFieldName('body')?.startIndex ?? node.endIndex);
  // A parenthesis that is never closed takes in what follows.
  const isOpen = node.childForFieldName('parameters')?.hasError ?? false;
  return bounded(isOpen ? (head.split('\n')[0] ?? '') : head);
}

function isExported(name: string): boolean {
  return /^\p{Lu}/u.test(name);
}

function symbolAt(node: SyntaxNode, name: string): Omit<ModuleSymbol, 'kind' | 'signature'> {
  return { name, exported: isExported(name), comment: '', tags: [], line: node.startPosition.row + 1, members: [] };
}

function trailingComment(node: SyntaxNode): string {
  const next = node.nextNamedSibling;
  const isBehind = next?.type === 'comment' && next.startPosition.row === node.endPosition.row;
  return isBehind ? commentText([next]) : '';
}

function docAbove(node: SyntaxNode): { comment: string; tags: SymbolTag[] } {
  const text = commentText(commentsAbove(node, ['comment']));
  const tags: SymbolTag[] = [];
  // A paragraph of its own, as godoc wants it.
  const kept = text.split(/\n\n+/).filter((paragraph) => {
    if (!paragraph.startsWith('Deprecated: ')) return true;
    tags.push({ tag: 'deprecated', name: '', text: paragraph.slice('Deprecated: '.length) });
    return false;
  });
  return { comment: readGodoc(kept.join('\n\n')), tags };
}

/** Without directives for the compiler and for tools. */
function commentText(comments: readonly SyntaxNode[]): string {
  const lines = comments
    .map((comment) => comment.text)
    .filter((text) => !/^\/\/(go:|line |export |nolint|[a-z0-9]+:[a-z0-9])|^\/\/ \+build /.test(text))
    .map((text) => (text.startsWith('/*') ? text.replace(/^\/\*\s?|\s*\*\/$/g, '') : text.replace(/^\/\/ ?/, '')));
  return clean(lines.join('\n'));
}

/** `# Title` is a heading and `[Name]` a link to a name. */
function readGodoc(text: string): string {
  const blocks = text.split(/\n\n+/).map((block) => {
    if (/^[ \t]/.test(block)) return block;
    return block.replace(/^# (.*)$/, '$1:').replace(/\[\*?([\p{L}_][\p{L}\p{N}_.]*)\](?![([:])/gu, '`$1`');
  });
  return fenceIndented(blocks.join('\n\n'), 1, () => 'go');
}
