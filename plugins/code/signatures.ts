// Writes what a declaration promises, from its own text: no bodies, no long values, no types that had to be computed.
import { ts } from 'ts-morph';
import { declarationComment } from './comments.ts';
import { maxMembers, type SymbolMember } from './module.ts';
import { bounded, dedented } from './source-text.ts';

/** `async function f(a: string): void`; also for methods and constructors. */
export function functionSignature(file: ts.SourceFile, node: ts.SignatureDeclaration): string {
  const body = 'body' in node ? (node.body as ts.Node | undefined) : undefined;
  return bounded(dedent(file, sliceFrom(file, node, body?.getStart(file) ?? node.end)));
}

/** `class A extends B implements C`. */
export function classSignature(file: ts.SourceFile, node: ts.ClassLikeDeclaration): string {
  const start = startOf(file, node);
  // The brace that opens the body: the first one after everything that may hold braces of its own.
  const after =
    [...(node.typeParameters ?? []), ...(node.heritageClauses ?? [])].at(-1)?.end ?? node.name?.end ?? start;
  const brace = file.text.indexOf('{', after);
  return bounded(dedent(file, { text: file.text.slice(start, brace), start }));
}

/** The whole text of an interface, type, enum. */
export function wholeText(file: ts.SourceFile, node: ts.Node): string {
  return bounded(dedent(file, sliceFrom(file, node, node.end)));
}

/** `const name: Type`, `const name = (a) => …`, or with its value where that is short. */
export function variableSignature(
  file: ts.SourceFile,
  keyword: string,
  declaration: ts.VariableDeclaration,
  name: string,
): string {
  const type = declaration.type === undefined ? '' : `: ${plainText(file, declaration.type)}`;
  const { initializer } = declaration;
  if (!ts.isIdentifier(declaration.name)) return `${keyword} ${name}`;
  const head = `${keyword} ${name}${type}`;
  if (initializer === undefined) return head;
  const value = unwrapped(initializer);
  if (ts.isArrowFunction(value)) return bounded(`${head} = ${arrowText(file, value)}`);
  if (ts.isFunctionExpression(value)) return bounded(`${head} = ${functionSignature(file, value)}`);
  if (ts.isClassExpression(value)) return bounded(`${head} = ${classSignature(file, value)}`);
  // A type says more than a long value.
  if (type !== '' && (initializer.getText(file).length > 60 || initializer.getText(file).includes('\n')))
    return bounded(head);
  return bounded(`${head} = ${shortValue(file, initializer)}`);
}

/** A value in one line, or an ellipsis. */
export function shortValue(file: ts.SourceFile, node: ts.Node): string {
  const text = plainText(file, node);
  if (text.length <= 100 && !text.includes('\n')) return text;
  if (ts.isCallExpression(node)) {
    const callee = plainText(file, node.expression);
    if (callee.length <= 80 && !callee.includes('\n')) return `${callee}(…)`;
  }
  if (ts.isNewExpression(node)) return `new ${plainText(file, node.expression).split('\n')[0] ?? ''}(…)`;
  if (ts.isObjectLiteralExpression(node)) return '{ … }';
  if (ts.isArrayLiteralExpression(node)) return '[ … ]';
  return '…';
}

/** Members that users of a class may touch. */
export function publicMembers(file: ts.SourceFile, node: ts.ClassLikeDeclaration): SymbolMember[] {
  const members: SymbolMember[] = [];
  for (const member of node.members) {
    if (members.length >= maxMembers) break;
    if (isHidden(member)) continue;
    const signature = memberSignature(file, member);
    if (signature === undefined) continue;
    const name = ts.isConstructorDeclaration(member) ? 'constructor' : (member.name?.getText(file) ?? 'index');
    members.push({ name, signature, comment: declarationComment(file, member).text });
  }
  return members;
}

function memberSignature(file: ts.SourceFile, member: ts.ClassElement): string | undefined {
  if (ts.isPropertyDeclaration(member)) {
    const end = member.type?.end ?? (member.exclamationToken ?? member.questionToken ?? member.name).end;
    const head = dedent(file, sliceFrom(file, member, end));
    const value = member.initializer === undefined ? undefined : unwrapped(member.initializer);
    if (member.type !== undefined || value === undefined) return bounded(head);
    if (ts.isArrowFunction(value)) return bounded(`${head} = ${arrowText(file, value)}`);
    return bounded(`${head} = ${shortValue(file, value)}`);
  }
  if (
    ts.isMethodDeclaration(member) ||
    ts.isConstructorDeclaration(member) ||
    ts.isAccessor(member) ||
    ts.isIndexSignatureDeclaration(member)
  ) {
    return functionSignature(file, member).replace(/;$/, '');
  }
  return undefined;
}

function isHidden(member: ts.ClassElement): boolean {
  if (member.name !== undefined && ts.isPrivateIdentifier(member.name)) return true;
  const hidden: readonly ts.SyntaxKind[] = [ts.SyntaxKind.PrivateKeyword, ts.SyntaxKind.ProtectedKeyword];
  const modifiers = ts.canHaveModifiers(member) ? ts.getModifiers(member) : undefined;
  return modifiers?.some((modifier) => hidden.includes(modifier.kind)) ?? false;
}

function arrowText(file: ts.SourceFile, node: ts.ArrowFunction): string {
  const start = node.getStart(file);
  const head = dedent(file, { text: file.text.slice(start, node.equalsGreaterThanToken.getStart(file)), start });
  return `${head} => …`;
}

/** `(x satisfies T) as const` is x to its readers. */
function unwrapped(node: ts.Expression): ts.Expression {
  if (ts.isParenthesizedExpression(node) || ts.isAsExpression(node) || ts.isSatisfiesExpression(node)) {
    const inner = unwrapped(node.expression);
    return ts.isArrowFunction(inner) || ts.isFunctionExpression(inner) ? inner : node;
  }
  return node;
}

function plainText(file: ts.SourceFile, node: ts.Node): string {
  return dedent(file, { text: node.getText(file), start: node.getStart(file) });
}

interface Slice {
  text: string;
  start: number;
}

function sliceFrom(file: ts.SourceFile, node: ts.Node, end: number): Slice {
  const start = startOf(file, node);
  return { text: file.text.slice(start, end), start };
}

/** Where a declaration begins for readers: after doc comment, decorators, `export`, `default` and `declare`. */
function startOf(file: ts.SourceFile, node: ts.Node): number {
  const skipped: readonly ts.SyntaxKind[] = [
    ts.SyntaxKind.ExportKeyword,
    ts.SyntaxKind.DefaultKeyword,
    ts.SyntaxKind.DeclareKeyword,
    ts.SyntaxKind.Decorator,
  ];
  const modifiers = ts.canHaveModifiers(node) ? (node.modifiers ?? []) : [];
  const last = modifiers.findLastIndex((modifier) => skipped.includes(modifier.kind));
  if (last === -1) return node.getStart(file);
  const end = modifiers[last]?.end ?? node.end;
  const next = modifiers[last + 1] ?? node.getChildren(file).find((child) => child.pos >= end);
  return next?.getStart(file) ?? end;
}

function dedent(file: ts.SourceFile, { text, start }: Slice): string {
  return dedented(file.text, start, start + text.length);
}
