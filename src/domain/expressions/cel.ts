// The border to the CEL library: parsing with bounds, and evaluation and type checking of expressions whose references are flat variables.
import {
  type ASTNode,
  TypeError as CelTypeError,
  Environment,
  EvaluationError,
  ParseError,
} from '@marcbachmann/cel-js';
import type { Reference } from './references.ts';
import type { ValueType } from './value-type.ts';
import { anyType } from './value-type.ts';

/** Longer expressions are refused: what needs more is a step. */
const maxExpressionLength = 1_000;
const maxReferences = 64;

const options = {
  homogeneousAggregateLiterals: false,
  enableOptionalTypes: true,
  limits: { maxAstNodes: 500, maxDepth: 32, maxListElements: 100, maxMapEntries: 100, maxCallArguments: 8 },
} as const;

const parser = new Environment(options);
const evaluation = createEvaluationEnvironment();
/** Grows by one variable per (type, length) met: a few hundred at most. */
const checking = new Environment(options);

/** What is wrong with an expression, and where in its text. */
export interface CelProblem {
  readonly message: string;
  readonly start: number;
  readonly end: number;
}

export type CelFunction = (variables: Readonly<Record<string, unknown>>) => unknown;

/** The syntax tree of an expression, or what is wrong with its text. */
export function parseCel(text: string): { ast: ASTNode } | { problem: CelProblem } {
  if (text.length > maxExpressionLength) {
    const message = `the expression has ${text.length} characters, at most ${maxExpressionLength} are allowed`;
    return { problem: { message, start: 0, end: text.length } };
  }
  try {
    return { ast: parser.parse(text).ast };
  } catch (error) {
    return { problem: problemOf(error, text) };
  }
}

/** Name of the flat variable that stands for the n-th distinct reference. */
export function variableName(n: number): string {
  return `_${n}`;
}

/** Compiles an expression in which each reference is replaced by the variable given for it. Throws above 64 references. */
export function compileCel(text: string, references: readonly Reference[], variables: readonly number[]): CelFunction {
  if (references.length > maxReferences)
    throw new RangeError(`more than ${maxReferences} references in one expression`);
  return evaluation.parse(replaceReferences(text, references, (_, index) => variableName(variables[index] ?? 0)));
}

/**
 * Checks the types of an expression's operators and calls. Each reference is replaced by a variable of its type and of its
 * own length, so that places in messages are places in the text.
 */
export function checkCel(
  text: string,
  references: readonly Reference[],
  types: readonly ValueType[],
): { type: ValueType } | { problem: CelProblem } {
  const replaced = replaceReferences(text, references, (reference, index) => {
    const type = reference.test ? 'bool' : celTypeName(types[index] ?? anyType);
    return typedVariable(type, reference.end - reference.start);
  });
  const result = checking.check(replaced);
  if (result.valid) return { type: typeFromCelName(result.type ?? 'dyn') };
  return { problem: problemOf(result.error, text) };
}

function createEvaluationEnvironment(): Environment {
  const environment = new Environment(options);
  for (let n = 0; n < maxReferences; n++) environment.registerVariable(variableName(n), 'dyn');
  return environment;
}

function replaceReferences(
  text: string,
  references: readonly Reference[],
  name: (reference: Reference, index: number) => string,
): string {
  let replaced = '';
  let from = 0;
  for (const [index, reference] of references.entries()) {
    replaced += text.slice(from, reference.start) + name(reference, index);
    from = reference.end;
  }
  return replaced + text.slice(from);
}

const typeLetters: Readonly<Record<string, string>> = {
  dyn: 'x',
  string: 's',
  int: 'i',
  double: 'd',
  bool: 'b',
  null: 'n',
  map: 'm',
  list: 'l',
  'list<string>': 'S',
  'list<int>': 'I',
  'list<double>': 'D',
  'list<bool>': 'B',
};

function typedVariable(type: string, length: number): string {
  const name = `_${typeLetters[type] ?? 'x'}`.padEnd(length, '_');
  if (!checking.hasVariable(name)) checking.registerVariable(name, type);
  return name;
}

function celTypeName(type: ValueType): string {
  if (type.nullable === true || type.kind === 'any') return 'dyn';
  if (type.kind === 'object') return 'map';
  if (type.kind !== 'list') return type.kind;
  const name = `list<${celTypeName(type.item)}>`;
  return name in typeLetters ? name : 'list';
}

function typeFromCelName(name: string): ValueType {
  const list = /^list<(.+)>$/.exec(name);
  if (list) return { kind: 'list', item: typeFromCelName(list[1] ?? 'dyn') };
  if (name.startsWith('map')) return { kind: 'object', fields: {}, open: true };
  if (name.startsWith('google.protobuf.')) return { kind: 'string' };
  switch (name) {
    case 'list':
      return { kind: 'list', item: anyType };
    case 'string':
    case 'int':
    case 'double':
    case 'bool':
    case 'null':
      return { kind: name };
    default:
      return anyType;
  }
}

/** The first line of what the library says, without the picture of the source it appends. */
export function celMessage(error: unknown): string {
  if (error instanceof EvaluationError || error instanceof ParseError || error instanceof CelTypeError)
    return error.summary;
  return error instanceof Error ? error.message : String(error);
}

function problemOf(error: unknown, text: string): CelProblem {
  const range = error instanceof ParseError || error instanceof CelTypeError ? error.range : undefined;
  const message = celMessage(error).replace('Unexpected token: EOF', 'the expression ends too early');
  return { message, start: range?.start ?? 0, end: range?.end ?? text.length };
}
