// What YAML allows and a configuration must not hold: dangerous keys, merge keys, octal-looking numbers, bottomless nesting.
import { type Document, isAlias, isScalar, visit } from 'yaml';
import { fileLimits } from './defaults.ts';

export interface NodeProblem {
  readonly offset: number;
  readonly message: string;
  readonly got?: string;
  readonly expected?: string;
}

const dangerousKeys = new Set(['__proto__', 'constructor', 'prototype']);

/** Everything of this kind in a document, with its offset in the file's text. */
export function nodeProblems(document: Document.Parsed, text: string): NodeProblem[] {
  const problems: NodeProblem[] = [];
  let aliases = 0;
  visit(document, {
    Pair(_, pair) {
      const problem = keyProblem(pair.key);
      if (problem) problems.push(problem);
    },
    Scalar(key, scalar) {
      if (key !== 'key') problems.push(...valueProblems(scalar, text));
    },
    Alias(_, alias) {
      aliases++;
      if (!alias.resolve(document)) {
        problems.push({
          offset: alias.range?.[0] ?? 0,
          message: 'the alias names no anchor above it',
          got: `*${alias.source}`,
        });
      }
      if (aliases === fileLimits.aliases.value + 1) {
        const expected = `at most ${fileLimits.aliases.value} aliases a document`;
        problems.push({ offset: alias.range?.[0] ?? 0, message: 'too many aliases (`*name`)', expected });
        return visit.BREAK;
      }
      return undefined;
    },
    Collection(_, collection, path) {
      const depth = path.filter((parent) => 'items' in parent).length;
      if (depth < fileLimits.depth.value) return undefined;
      const expected = `at most ${fileLimits.depth.value} levels`;
      problems.push({ offset: collection.range?.[0] ?? 0, message: 'nested too deeply', expected });
      return visit.BREAK;
    },
  });
  return problems;
}

function keyProblem(key: unknown): NodeProblem | undefined {
  if (isAlias(key)) return { offset: key.range?.[0] ?? 0, message: 'an alias cannot be a key', expected: 'text' };
  if (!isScalar(key))
    return { offset: rangeStart(key), message: 'a list or an object cannot be a key', expected: 'text' };
  const offset = key.range?.[0] ?? 0;
  const name = String(key.value);
  if (dangerousKeys.has(name)) return { offset, message: `the key "${name}" is not allowed anywhere` };
  if (name === '<<') {
    return {
      offset,
      message: 'merge keys (`<<`) are not supported',
      expected: 'the keys written out, or an alias (`*name`) for a whole value',
    };
  }
  if (typeof key.value !== 'string') {
    return {
      offset,
      message: 'the key is not text',
      got: `${key.source ?? name}`,
      expected: `text: "${key.source ?? name}" in quotes`,
    };
  }
  return undefined;
}

function valueProblems(
  scalar: { value: unknown; source?: string; range?: readonly number[] | null; type?: string },
  text: string,
): NodeProblem[] {
  if (typeof scalar.value !== 'number') return [];
  const [offset = 0, end = 0] = scalar.range ?? [];
  const source = scalar.source ?? text.slice(offset, end);
  if (/^[-+]?0\d/.test(source)) {
    const expected = `${Number(source)}, or "${source}" in quotes if it is text`;
    return [
      {
        offset,
        message: 'a number with a leading zero reads as octal to some and as decimal to others',
        got: source,
        expected,
      },
    ];
  }
  if (!Number.isFinite(scalar.value)) return [{ offset, message: 'not a finite number', got: source }];
  return [];
}

function rangeStart(node: unknown): number {
  const range = typeof node === 'object' && node !== null && 'range' in node ? node.range : undefined;
  return Array.isArray(range) && typeof range[0] === 'number' ? range[0] : 0;
}
