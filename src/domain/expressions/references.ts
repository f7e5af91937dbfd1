// Finds what an expression names: every chain like `steps.fetch.output.files` that starts at a name of the scope.
import type { ASTNode } from '@marcbachmann/cel-js';

/** A maximal chain of fixed keys, and where it stands in the expression's text. */
export interface Reference {
  readonly path: readonly (string | number)[];
  readonly start: number;
  readonly end: number;
  /** True for `has(chain)`; start and end then span the whole call. */
  readonly test: boolean;
}

const comprehensions = new Set(['all', 'exists', 'exists_one', 'map', 'filter']);
/** Names that CEL itself gives a meaning: types and namespaces. */
const celNames = new Set([
  'string',
  'bool',
  'int',
  'uint',
  'double',
  'map',
  'list',
  'bytes',
  'null_type',
  'type',
  'cel',
  'optional',
]);

/** Every reference in the order of the text. Variables bound by macros (`list.map(x, …)`) are none. */
export function findReferences(ast: ASTNode): Reference[] {
  const found: Reference[] = [];
  visit(ast, new Set(), found);
  return found.sort((a, b) => a.start - b.start);
}

/** The greatest number of comprehensions inside one another: the power to which an evaluation can grow. */
export function comprehensionDepth(node: ASTNode): number {
  const inner = Math.max(0, ...childrenOf(node).map(comprehensionDepth));
  return node.op === 'rcall' && comprehensions.has(node.args[0]) ? inner + 1 : inner;
}

/** The patterns that `matches` is called with; null for one that is not written out. */
export function matchPatterns(node: ASTNode): { pattern: string | null; start: number; end: number }[] {
  const inner = childrenOf(node).flatMap(matchPatterns);
  const args = node.op === 'rcall' ? node.args[2] : node.op === 'call' ? node.args[1] : [];
  if ((node.op !== 'rcall' && node.op !== 'call') || node.args[0] !== 'matches') return inner;
  const last = args.at(-1);
  const pattern = last?.op === 'value' && typeof last.args === 'string' ? last.args : null;
  return [...inner, { pattern, start: (last ?? node).start, end: (last ?? node).end }];
}

function visit(node: ASTNode, bound: ReadonlySet<string>, found: Reference[]): void {
  const test = node.op === 'call' && node.args[0] === 'has' ? node.args[1][0] : undefined;
  const path = chainPath(test ?? node, bound);
  // The library's place of `(a).b` begins inside the parenthesis, so it cannot be replaced as text.
  if (path && isPlain(test ?? node)) {
    found.push({ path, start: node.start, end: node.end, test: test !== undefined });
    return;
  }
  if (node.op === 'rcall' && visitBinding(node, bound, found)) return;
  for (const child of childrenOf(node)) visit(child, bound, found);
}

function isPlain({ input, start, end }: ASTNode): boolean {
  return !/[()]/.test(input.slice(start, end));
}

/** Macros that bind a variable for some of their arguments. */
function visitBinding(node: ASTNode & { op: 'rcall' }, bound: ReadonlySet<string>, found: Reference[]): boolean {
  const [name, receiver, args] = node.args;
  const [variable, ...rest] = args;
  if (variable?.op !== 'id') return false;
  const inner = new Set([...bound, variable.args]);
  if (comprehensions.has(name)) {
    visit(receiver, bound, found);
    for (const argument of rest) visit(argument, inner, found);
    return true;
  }
  if (name === 'bind' && receiver.op === 'id' && receiver.args === 'cel') {
    const [value, body] = rest;
    if (value) visit(value, bound, found);
    if (body) visit(body, inner, found);
    return true;
  }
  return false;
}

function chainPath(node: ASTNode, bound: ReadonlySet<string>): (string | number)[] | undefined {
  if (node.op === 'id') return bound.has(node.args) || celNames.has(node.args) ? undefined : [node.args];
  if (node.op === '.') {
    const path = chainPath(node.args[0], bound);
    return path && [...path, node.args[1]];
  }
  if (node.op === '[]') {
    const key = fixedKey(node.args[1]);
    const path = key === undefined ? undefined : chainPath(node.args[0], bound);
    return path && key !== undefined ? [...path, key] : undefined;
  }
  return undefined;
}

function fixedKey(node: ASTNode): string | number | undefined {
  if (node.op !== 'value') return undefined;
  if (typeof node.args === 'string') return node.args;
  return typeof node.args === 'bigint' ? Number(node.args) : undefined;
}

function childrenOf(node: ASTNode): readonly ASTNode[] {
  switch (node.op) {
    case 'value':
    case 'id':
      return [];
    case '.':
    case '.?':
      return [node.args[0]];
    case 'call':
      return node.args[1];
    case 'rcall':
      return [node.args[1], ...node.args[2]];
    case 'list':
      return node.args;
    case 'map':
      return node.args.flat();
    case '!_':
    case '-_':
      return [node.args];
    default:
      return node.args;
  }
}
