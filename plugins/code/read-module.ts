// Reads one source file: its comment and its top-level symbols, by syntax alone.
import { ts } from 'ts-morph';
import { declarationComment, fileComment } from './comments.ts';
import type { Source } from './find-sources.ts';
import { slugOf } from './find-sources.ts';
import type { Module, ModuleSymbol, SymbolKind } from './module.ts';
import {
  classSignature,
  functionSignature,
  publicMembers,
  shortValue,
  variableSignature,
  wholeText,
} from './signatures.ts';
import { lineCount } from './source-text.ts';

/** Pure: equal text gives an equal module. */
export function readModule(source: Source, text: string): Module {
  const file = ts.createSourceFile(source.path, text, ts.ScriptTarget.Latest, true, scriptKind(source.path));
  const symbols = withoutImplementations(file.statements).flatMap((statement) => symbolsOf(file, statement));
  applyExports(file, symbols);
  return {
    path: source.path,
    slug: slugOf(source.path),
    language: source.language,
    lines: lineCount(text),
    comment: fileComment(file),
    symbols: joinOverloads(symbols),
    syntaxErrors: (file as unknown as { parseDiagnostics?: readonly unknown[] }).parseDiagnostics?.length ?? 0,
  };
}

function scriptKind(path: string): ts.ScriptKind {
  if (path.endsWith('.tsx')) return ts.ScriptKind.TSX;
  if (path.endsWith('.jsx')) return ts.ScriptKind.JSX;
  // JSX in plain .js files is common, and reads the same where there is none.
  return /\.[cm]?js$/.test(path) ? ts.ScriptKind.JSX : ts.ScriptKind.TS;
}

function symbolsOf(file: ts.SourceFile, node: ts.Statement): ModuleSymbol[] {
  const make = (name: string | undefined, kind: SymbolKind, signature: string): ModuleSymbol[] => [
    symbol(file, node, { name: name ?? 'default', kind, signature, exported: isExported(node) }),
  ];
  if (ts.isFunctionDeclaration(node)) return make(node.name?.text, 'function', functionSignature(file, node));
  if (ts.isClassDeclaration(node)) {
    return make(node.name?.text, 'class', classSignature(file, node)).map((found) => ({
      ...found,
      members: publicMembers(file, node),
    }));
  }
  if (ts.isInterfaceDeclaration(node)) return make(node.name.text, 'interface', wholeText(file, node));
  if (ts.isTypeAliasDeclaration(node)) return make(node.name.text, 'type', wholeText(file, node));
  if (ts.isEnumDeclaration(node)) return make(node.name.text, 'enum', wholeText(file, node));
  if (ts.isModuleDeclaration(node)) {
    const name = node.name.getText(file);
    return make(name, 'namespace', `${ts.isIdentifier(node.name) ? 'namespace' : 'module'} ${name}`);
  }
  if (ts.isVariableStatement(node)) return variablesOf(file, node);
  if (ts.isExportAssignment(node)) return exportAssignment(file, node);
  if (ts.isExportDeclaration(node)) return reExports(file, node);
  if (ts.isExpressionStatement(node)) return commonJsExports(file, node);
  return [];
}

function variablesOf(file: ts.SourceFile, node: ts.VariableStatement): ModuleSymbol[] {
  const keyword = /^(const|let|var|using|await using)\b/.exec(node.declarationList.getText(file))?.[1] ?? 'var';
  return node.declarationList.declarations.flatMap((declaration) =>
    boundNames(declaration.name).map((name) => {
      const value = declaration.initializer;
      const callable = value !== undefined && (ts.isArrowFunction(value) || ts.isFunctionExpression(value));
      const kind = callable ? 'function' : keyword === 'const' ? 'constant' : 'variable';
      const signature = variableSignature(file, keyword, declaration, name);
      const found = symbol(file, node, { name, kind, signature, exported: isExported(node) });
      return { ...found, line: lineOf(file, declaration) };
    }),
  );
}

function boundNames(name: ts.BindingName): string[] {
  if (ts.isIdentifier(name)) return [name.text];
  return name.elements.flatMap((element) => (ts.isOmittedExpression(element) ? [] : boundNames(element.name)));
}

/** `export default expression` and `export = expression`. */
function exportAssignment(file: ts.SourceFile, node: ts.ExportAssignment): ModuleSymbol[] {
  // A name: applyExports marks what it stands for.
  if (ts.isIdentifier(node.expression) && declares(file, node.expression.text)) return [];
  const value = shortValue(file, node.expression);
  const signature = node.isExportEquals === true ? `export = ${value}` : `export default ${value}`;
  return [symbol(file, node, { name: 'default', kind: 'constant', signature, exported: true })];
}

function reExports(file: ts.SourceFile, node: ts.ExportDeclaration): ModuleSymbol[] {
  const { moduleSpecifier, exportClause } = node;
  if (moduleSpecifier === undefined) return [];
  const from = moduleSpecifier.getText(file);
  const one = (name: string, what: string): ModuleSymbol =>
    symbol(file, node, { name, kind: 're-export', signature: `export ${what} from ${from}`, exported: true });
  const type = node.isTypeOnly ? 'type ' : '';
  if (exportClause === undefined) return [one('*', `${type}*`)];
  if (ts.isNamespaceExport(exportClause)) return [one(exportClause.name.text, `${type}* as ${exportClause.name.text}`)];
  return exportClause.elements.map((element) => one(element.name.text, `${type}{ ${element.getText(file)} }`));
}

/** `exports.name = …` and `module.exports.name = …`. */
function commonJsExports(file: ts.SourceFile, node: ts.ExpressionStatement): ModuleSymbol[] {
  const assignment = commonJsAssignment(file, node);
  if (assignment === undefined) return [];
  const { target, value } = assignment;
  const name = /^(?:module\.)?exports\.([A-Za-z_$][\w$]*)$/.exec(target)?.[1];
  if (name !== undefined) {
    if (ts.isIdentifier(value) && declares(file, value.text)) return [];
    const callable = ts.isArrowFunction(value) || ts.isFunctionExpression(value);
    const signature = ts.isFunctionExpression(value)
      ? functionSignature(file, value)
      : `${name} = ${shortValue(file, value)}`;
    return [symbol(file, node, { name, kind: callable ? 'function' : 'constant', signature, exported: true })];
  }
  if (target !== 'module.exports' || (ts.isIdentifier(value) && declares(file, value.text))) return [];
  if (ts.isObjectLiteralExpression(value)) return [];
  return [
    symbol(file, node, {
      name: 'default',
      kind: 'constant',
      signature: `module.exports = ${shortValue(file, value)}`,
      exported: true,
    }),
  ];
}

/** Marks what is exported elsewhere than where it is declared, under the name importers use. */
function applyExports(file: ts.SourceFile, symbols: ModuleSymbol[]): void {
  const mark = (local: string, exportedAs: string): void => {
    for (const found of symbols.filter((candidate) => candidate.name === local && candidate.kind !== 're-export')) {
      found.exported = true;
      if (exportedAs !== local && exportedAs !== 'default') found.name = exportedAs;
    }
  };
  for (const node of file.statements) {
    if (ts.isExportDeclaration(node) && node.moduleSpecifier === undefined && node.exportClause !== undefined) {
      if (!ts.isNamedExports(node.exportClause)) continue;
      for (const element of node.exportClause.elements)
        mark((element.propertyName ?? element.name).text, element.name.text);
    }
    if (ts.isExportAssignment(node) && ts.isIdentifier(node.expression)) mark(node.expression.text, 'default');
    if (ts.isExpressionStatement(node)) markCommonJs(file, node, mark);
  }
}

function markCommonJs(
  file: ts.SourceFile,
  node: ts.ExpressionStatement,
  mark: (local: string, as: string) => void,
): void {
  const assignment = commonJsAssignment(file, node);
  if (assignment === undefined) return;
  const { target, value } = assignment;
  const name = /^(?:module\.)?exports\.([A-Za-z_$][\w$]*)$/.exec(target)?.[1];
  if (ts.isIdentifier(value)) mark(value.text, name ?? 'default');
  if (target !== 'module.exports' || !ts.isObjectLiteralExpression(value)) return;
  for (const property of value.properties) {
    if (ts.isShorthandPropertyAssignment(property)) mark(property.name.text, property.name.text);
    else if (ts.isPropertyAssignment(property) && ts.isIdentifier(property.initializer)) {
      mark(property.initializer.text, property.name.getText(file));
    }
  }
}

function commonJsAssignment(
  file: ts.SourceFile,
  node: ts.ExpressionStatement,
): { target: string; value: ts.Expression } | undefined {
  const { expression } = node;
  if (!ts.isBinaryExpression(expression) || expression.operatorToken.kind !== ts.SyntaxKind.EqualsToken)
    return undefined;
  const target = expression.left.getText(file);
  return /^(module\.)?exports\b/.test(target) ? { target, value: expression.right } : undefined;
}

function declares(file: ts.SourceFile, name: string): boolean {
  return file.statements.some((statement) => {
    if (ts.isVariableStatement(statement)) {
      return statement.declarationList.declarations.some((declaration) => boundNames(declaration.name).includes(name));
    }
    const declared = (statement as { name?: ts.Node }).name;
    return declared !== undefined && ts.isIdentifier(declared) && declared.text === name;
  });
}

/** The body behind overloads is not what callers see. */
function withoutImplementations(statements: readonly ts.Statement[]): ts.Statement[] {
  return statements.filter((statement, at) => {
    const before = statements[at - 1];
    if (before === undefined || !ts.isFunctionDeclaration(statement) || !ts.isFunctionDeclaration(before)) return true;
    return before.body !== undefined || statement.body === undefined || before.name?.text !== statement.name?.text;
  });
}

/** Overloads are one function to its callers. */
function joinOverloads(symbols: readonly ModuleSymbol[]): ModuleSymbol[] {
  const joined: ModuleSymbol[] = [];
  for (const found of symbols) {
    const before = joined.at(-1);
    if (before?.kind !== 'function' || found.kind !== 'function' || before.name !== found.name) {
      joined.push(found);
      continue;
    }
    before.signature = `${before.signature}\n${found.signature}`;
    if (before.comment === '') before.comment = found.comment;
  }
  return joined;
}

function symbol(
  file: ts.SourceFile,
  node: ts.Node,
  rest: { name: string; kind: SymbolKind; signature: string; exported: boolean },
): ModuleSymbol {
  const { text, tags } = declarationComment(file, node);
  return { ...rest, comment: text, tags, line: lineOf(file, node), members: [] };
}

function isExported(node: ts.Node): boolean {
  const modifiers = ts.canHaveModifiers(node) ? ts.getModifiers(node) : undefined;
  return modifiers?.some((modifier) => modifier.kind === ts.SyntaxKind.ExportKeyword) ?? false;
}

function lineOf(file: ts.SourceFile, node: ts.Node): number {
  return file.getLineAndCharacterOfPosition(node.getStart(file)).line + 1;
}
