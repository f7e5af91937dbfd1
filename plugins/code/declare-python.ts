// What a Python module offers: docstrings, functions, classes with methods and attributes, constants, names passed on.
import { clean, legal, notForReaders } from './comment-text.ts';
import { type ModuleSymbol, maxMembers, type SymbolMember } from './module.ts';
import { readDocstring } from './python-docstring.ts';
import { assigned, callable, decorators, docOf, docstring, stringText } from './python-signatures.ts';
import type { Declared } from './read-tree.ts';
import { bounded, dedented } from './source-text.ts';
import { declarationsIn, type SyntaxFile, type SyntaxNode } from './syntax-tree.ts';

/** Pure: equal trees give equal symbols. */
export function declarePython(file: SyntaxFile): Declared {
  const statements = statementsOf(file.root);
  const listed = listedNames(statements);
  const isPublic = (name: string): boolean => listed.names.has(name) || (!listed.isComplete && !name.startsWith('_'));
  const imported = importedNames(statements);
  // `except ImportError: json = None` makes no variable of this module.
  const symbols = declared(file, statements, '', isPublic).filter(
    ({ kind, name }) => kind !== 'variable' || !imported.has(name),
  );
  const known = new Set(symbols.map((symbol) => symbol.name));
  const passedOn = imports(file, statements).filter(
    (symbol) =>
      !known.has(symbol.name) && (listed.names.has(symbol.name) || (!listed.isComplete && isFacade(file, symbol))),
  );
  return { comment: moduleComment(file, statements), symbols: joinOverloads([...passedOn, ...symbols]) };
}

/** `__init__.py` gathers what its package offers. */
function isFacade(file: SyntaxFile, symbol: ModuleSymbol): boolean {
  return /(^|\/)__init__\.pyi?$/.test(file.path) && /^from \./.test(symbol.signature) && !symbol.name.startsWith('_');
}

/** Statements of a module or class, with those of `if` and `try`: either of several will be there. */
function statementsOf(block: SyntaxNode): SyntaxNode[] {
  return declarationsIn(block).flatMap((node) => {
    if (node.type === 'if_statement' && /__name__/.test(node.childForFieldName('condition')?.text ?? '')) return [];
    if (!['if_statement', 'try_statement', 'with_statement'].includes(node.type)) return [node];
    return blocksOf(node).flatMap(statementsOf);
  });
}

function blocksOf(node: SyntaxNode): SyntaxNode[] {
  return node.namedChildren.flatMap((child) => {
    if (child.type === 'block') return [child];
    return /^(elif|else|except|except_group|finally)_clause$/.test(child.type) ? blocksOf(child) : [];
  });
}

/** `__all__`, as far as it is written out; complete where nothing in it has to be computed. */
function listedNames(statements: readonly SyntaxNode[]): { names: ReadonlySet<string>; isComplete: boolean } {
  const names = new Set<string>();
  let isComplete = false;
  for (const statement of statements) {
    const value = listedValue(statement);
    if (value === undefined) continue;
    const isLiteral = value.type === 'list' || value.type === 'tuple' || value.type === 'argument_list';
    const strings = value.descendantsOfType('string');
    for (const each of strings) names.add(stringText(each));
    isComplete = (isComplete || names.size === strings.length) && isLiteral;
  }
  return { names, isComplete };
}

function listedValue(statement: SyntaxNode): SyntaxNode | undefined {
  const expression = statement.type === 'expression_statement' ? statement.namedChild(0) : null;
  if (expression === null) return undefined;
  if (expression.type === 'assignment' || expression.type === 'augmented_assignment') {
    const left = expression.childForFieldName('left')?.text;
    return left === '__all__' ? (expression.childForFieldName('right') ?? undefined) : undefined;
  }
  const isCall = /^__all__\.(extend|append)$/.test(expression.childForFieldName('function')?.text ?? '');
  return isCall ? (expression.childForFieldName('arguments') ?? undefined) : undefined;
}

/** Symbols of a block; nested classes follow the one around them, under its name. The first of several alike counts. */
function declared(
  file: SyntaxFile,
  statements: readonly SyntaxNode[],
  prefix: string,
  isPublic: (name: string) => boolean,
): ModuleSymbol[] {
  const found = statements.flatMap((statement, at): ModuleSymbol[] => {
    const node = statement.childForFieldName('definition') ?? statement;
    const name = node.childForFieldName('name')?.text ?? '';
    const exported = isPublic(name);
    if (node.type === 'function_definition' && prefix === '') {
      return [
        {
          ...symbolAt(statement, name, exported),
          kind: 'function',
          signature: callable(file, statement),
          ...docOf(node),
        },
      ];
    }
    if (node.type === 'class_definition') return classSymbols(file, statement, `${prefix}${name}`, exported);
    if (prefix !== '') return [];
    if (node.type === 'type_alias_statement') {
      const alias = /^[^\s[]*/.exec(node.childForFieldName('left')?.text ?? '')?.[0] ?? '';
      const signature = bounded(dedented(file.text, node.startIndex, node.endIndex), '#');
      return [{ ...symbolAt(node, alias, isPublic(alias)), kind: 'type', signature }];
    }
    return assigned(file, node, statements[at + 1]).map(({ name: each, signature, comment }) => {
      const kind = /\bTypeAlias\b/.test(signature)
        ? 'type'
        : /^_*[A-Z][A-Z0-9_]*$/.test(each)
          ? 'constant'
          : 'variable';
      return { ...symbolAt(node, each, isPublic(each)), kind, signature, comment };
    });
  });
  const isFirst = (symbol: ModuleSymbol, at: number): boolean =>
    isOverload(symbol.signature) ||
    !found.slice(0, at).some((before) => before.name === symbol.name && !isOverload(before.signature));
  return found.filter((symbol, at) => isFirst(symbol, at) && !/^__\w+__$/.test(symbol.name));
}

function classSymbols(file: SyntaxFile, statement: SyntaxNode, name: string, exported: boolean): ModuleSymbol[] {
  const node = statement.childForFieldName('definition') ?? statement;
  const body = node.childForFieldName('body');
  const end = (
    node.childForFieldName('superclasses') ??
    node.childForFieldName('type_parameters') ??
    node.childForFieldName('name')
  )?.endIndex;
  const head = [...decorators(file, statement), dedented(file.text, node.startIndex, end ?? node.startIndex)].join(
    '\n',
  );
  const statements = body === null ? [] : statementsOf(body);
  const nested = declared(file, statements, `${name}.`, (inner) => exported && !inner.startsWith('_'));
  const members = joinOverloads(membersOf(file, statements)).slice(0, maxMembers);
  return [
    { ...symbolAt(statement, name, exported), kind: 'class', signature: bounded(head, '#'), ...docOf(node), members },
    ...nested,
  ];
}

function membersOf(file: SyntaxFile, statements: readonly SyntaxNode[]): SymbolMember[] {
  return statements.flatMap((statement, at): SymbolMember[] => {
    const node = statement.childForFieldName('definition') ?? statement;
    if (node.type !== 'function_definition') {
      const fields = assigned(file, node, statements[at + 1]);
      return fields.filter(({ name }) => !name.startsWith('_')).map((field) => ({ ...field, kind: 'field' }));
    }
    const name = node.childForFieldName('name')?.text ?? '';
    const { comment, tags } = docOf(node);
    const signature = callable(file, statement);
    // A special method is what the operators of the language call; one worth reading about has a docstring.
    const isSpecial = /^__\w+__$/.test(name);
    if (isSpecial ? name !== '__init__' && comment === '' : name.startsWith('_')) return [];
    if (/^@\w+\.(setter|deleter)$/m.test(signature)) return [];
    const kind =
      name === '__init__' ? 'constructor' : /^@(\w+\.)*(cached_)?property$/m.test(signature) ? 'property' : 'method';
    return [{ name, signature, comment, tags, kind }];
  });
}

/** `name = value`, `name: type = value`; the string below it is its comment. */
/** `#: what it is` directly above. */
/** Decorators and the head of a function, without its colon and body. */
function isOverload(signature: string): boolean {
  return /^@(\w+\.)*overload$/m.test(signature);
}

/** Overloads are one function to its callers; the one with the body is not what they see. */
function joinOverloads<Item extends ModuleSymbol | SymbolMember>(items: readonly Item[]): Item[] {
  const joined: Item[] = [];
  for (const item of items) {
    const before = joined.at(-1);
    if (before === undefined || before.name !== item.name || !isOverload(before.signature)) joined.push(item);
    else {
      if (isOverload(item.signature)) before.signature += `\n${item.signature}`;
      if (before.comment === '') Object.assign(before, { comment: item.comment, tags: item.tags });
    }
  }
  return joined;
}

/** Names that come from other modules, under the name they have here. */
function imports(file: SyntaxFile, statements: readonly SyntaxNode[]): ModuleSymbol[] {
  return statements.flatMap((node) => {
    if (node.type !== 'import_from_statement') return [];
    const from = node.childForFieldName('module_name')?.text ?? '';
    return node.childrenForFieldName('name').map((each) => {
      const name = each.childForFieldName('alias')?.text ?? each.text;
      const signature = `from ${from} import ${dedented(file.text, each.startIndex, each.endIndex)}`;
      return { ...symbolAt(node, name, true), kind: 're-export' as const, signature };
    });
  });
}

function importedNames(statements: readonly SyntaxNode[]): ReadonlySet<string> {
  const nodes = statements.filter((node) => /^import_(from_)?statement$/.test(node.type));
  const names = nodes.flatMap((node) => node.childrenForFieldName('name'));
  return new Set(names.map((each) => each.childForFieldName('alias')?.text ?? each.text.replace(/\..*$/, '')));
}

function symbolAt(node: SyntaxNode, name: string, exported: boolean): Omit<ModuleSymbol, 'kind' | 'signature'> {
  return { name, exported, comment: '', tags: [], line: node.startPosition.row + 1, members: [] };
}

/** The docstring, else the comment at the top. */
function moduleComment(file: SyntaxFile, statements: readonly SyntaxNode[]): string {
  const first = statements.find((node) => node.type !== 'comment');
  const doc = first === undefined ? undefined : docstring(first);
  if (doc !== undefined) {
    const { comment, tags } = readDocstring(doc);
    const sections = tags.filter((tag) => tag.tag === 'section').map((tag) => `${tag.name}:\n\n${tag.text}`);
    return [comment, ...sections].join('\n\n').trim();
  }
  const lines: string[] = [];
  let row = -1;
  for (const node of file.root.namedChildren) {
    if (node.type !== 'comment') break;
    // The first group that is for readers.
    if (lines.length > 0 && node.startPosition.row > row + 1) {
      if (!legal.test(lines.join('\n'))) break;
      lines.length = 0;
    }
    row = node.startPosition.row;
    const text = node.text.replace(/^#+ ?/, '');
    if (!/^#!|^#.*coding[:=]/.test(node.text) && !notForReaders.test(text)) lines.push(text);
  }
  const text = clean(lines.join('\n'));
  return legal.test(text) || (first !== undefined && first.startPosition.row === row + 1) ? '' : text;
}
