// Reads a YAML file into plain data and keeps where every key and value stands; refuses what is unsafe or a known trap.
import { Buffer } from 'node:buffer';
import { open } from 'node:fs/promises';
import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseAllDocuments,
  type YAMLError,
} from 'yaml';
import { errorMessage, type Problem } from '../domain/errors.ts';
import { fileLimits } from './defaults.ts';
import { nodeProblems } from './yaml-traps.ts';

export type KeyPath = readonly (string | number)[];

/** One document of a file: its data, and a way back from a key path to line and column. */
export interface YamlDocument {
  readonly file: string;
  readonly value: unknown;
  /** Place of the value at a path, or of the nearest thing above it that exists. */
  placeOf(path: KeyPath): Place;
  /** Place of the key at a path. */
  placeOfKey(path: KeyPath): Place;
  /** Place of a character within the text at a path. */
  placeWithin(path: KeyPath, offset: number): Place;
}

export interface Place {
  file: string;
  line: number;
  column: number;
}

export interface YamlSource {
  readonly file: string;
  readonly documents: readonly YamlDocument[];
  readonly problems: readonly Problem[];
}

/** Reads and parses a file. Everything that is wrong with it is a problem with a place; it does not throw. `file` is its name in messages. */
export async function readYaml(path: string, file: string): Promise<YamlSource> {
  const limit = fileLimits.bytes.value;
  try {
    const handle = await open(path);
    try {
      const { size } = await handle.stat();
      if (size > limit)
        return refused(file, {
          message: 'the file is too large',
          got: `${size} bytes`,
          expected: `at most ${limit} bytes`,
        });
      const bytes = await handle.readFile();
      return parseYaml(decode(bytes), file);
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (error instanceof NotText) return refused(file, error.problem);
    return refused(file, { message: `the file cannot be read: ${errorMessage(error)}` });
  }
}

/** Parses the text of a file. */
export function parseYaml(text: string, file: string): YamlSource {
  const lines = new LineCounter();
  const parsed = parseAllDocuments(text, {
    lineCounter: lines,
    version: '1.2',
    merge: false,
    uniqueKeys: true,
    strict: true,
  });
  const placeAt = (offset: number): Place => {
    const { line, col } = lines.linePos(Math.min(offset, text.length));
    return { file, line: Math.max(1, line), column: Math.max(1, col) };
  };
  const problems: Problem[] = [];
  const documents: YamlDocument[] = [];
  const list = Array.isArray(parsed) ? parsed : [];
  for (const document of list) {
    const errors = [...document.errors, ...document.warnings];
    problems.push(...telling(errors).map((error) => ({ ...placeAt(error.pos[0]), ...describeYamlError(error, text) })));
    if (errors.length > 0) continue;
    if (document.contents === null || (isScalar(document.contents) && document.contents.value === null)) continue;
    const found = nodeProblems(document, text).map(({ offset, ...problem }) => ({ ...placeAt(offset), ...problem }));
    problems.push(...found);
    if (found.length === 0) addDocument(document);
  }
  return { file, documents, problems };

  function addDocument(document: Document.Parsed): void {
    try {
      const value: unknown = document.toJS({ maxAliasCount: fileLimits.aliases.value });
      documents.push(createDocument(document, value, text, file, placeAt));
    } catch (error) {
      if (!(error instanceof ReferenceError)) throw error;
      const message = 'aliases (`*name`) multiply beyond all bounds';
      problems.push({
        file,
        line: 1,
        column: 1,
        message,
        expected: `at most ${fileLimits.aliases.value} aliases a document`,
      });
    }
  }
}

function createDocument(
  document: Document.Parsed,
  value: unknown,
  text: string,
  file: string,
  placeAt: (offset: number) => Place,
): YamlDocument {
  const startOf = (node: unknown): number => (isNode(node) && node.range ? node.range[0] : 0);
  return {
    file,
    value,
    placeOf: (path) => placeAt(startOf(findNode(document, path).node)),
    placeOfKey(path) {
      const { key, node } = findNode(document, path);
      return placeAt(startOf(key ?? node));
    },
    placeWithin(path, offset) {
      const { node } = findNode(document, path);
      return placeAt(isScalar(node) ? offsetInSource(node, text, offset) : startOf(node));
    },
  };
}

/** The node at a path, or the nearest that exists above it, with its key. Aliases are followed. */
function findNode(document: Document.Parsed, path: KeyPath): { node: Node | undefined; key: Node | undefined } {
  let node: unknown = document.contents;
  let key: Node | undefined;
  for (const part of path) {
    const parent = isAlias(node) ? node.resolve(document) : node;
    if (isMap(parent)) {
      const pair = parent.items.find(
        (item) => isPair(item) && isScalar(item.key) && String(item.key.value) === String(part),
      );
      if (!pair) break;
      key = isNode(pair.key) ? pair.key : undefined;
      node = isNode(pair.value) ? pair.value : pair.key;
    } else if (isSeq(parent)) {
      const item = parent.items[Number(part)];
      if (!isNode(item)) break;
      key = undefined;
      node = item;
    } else break;
  }
  return { node: isNode(node) ? node : undefined, key };
}

/**
 * Where the n-th character of a scalar's value stands in the file. Quotes, escapes, indentation and folded lines make the
 * source longer than the value, so both are walked side by side.
 */
function offsetInSource(
  node: { range?: readonly number[] | null; value: unknown; type?: string },
  text: string,
  offset: number,
): number {
  const [start = 0, end = text.length] = node.range ?? [];
  const value = String(node.value);
  const isBlock = node.type === 'BLOCK_LITERAL' || node.type === 'BLOCK_FOLDED';
  let at = isBlock ? text.indexOf('\n', start) + 1 : start;
  for (let index = 0; index <= Math.min(offset, value.length - 1); ) {
    if (at >= end) return start;
    if (text[at] === value[index]) {
      if (index === offset) return at;
      index++;
      at++;
    } else if (/\s/.test(value[index] ?? '') && index < offset && !/\s/.test(text[at] ?? '')) index++;
    else at++;
  }
  return Math.min(at, end);
}

class NotText extends Error {
  readonly problem: Omit<Problem, 'file'>;
  constructor(problem: Omit<Problem, 'file'>) {
    super(problem.message);
    this.problem = problem;
  }
}

function decode(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if ((buffer[0] === 0xff && buffer[1] === 0xfe) || (buffer[0] === 0xfe && buffer[1] === 0xff)) {
    throw new NotText({ message: 'the file is not UTF-8', got: 'UTF-16', expected: 'UTF-8' });
  }
  try {
    // A leading byte order mark is dropped by the decoder.
    return new TextDecoder('utf-8', { fatal: true }).decode(buffer);
  } catch {
    const { line, column, byte } = firstInvalidByte(buffer);
    throw new NotText({
      message: 'the file is not UTF-8',
      got: `byte 0x${byte.toString(16)}`,
      expected: 'UTF-8',
      line,
      column,
    });
  }
}

function firstInvalidByte(buffer: Buffer): { line: number; column: number; byte: number } {
  const text = buffer.toString('utf8');
  const at = text.indexOf('\uFFFD');
  const before = text.slice(0, Math.max(0, at));
  const lineStart = before.lastIndexOf('\n') + 1;
  return {
    line: before.split('\n').length,
    column: before.length - lineStart + 1,
    byte: buffer[Buffer.byteLength(before)] ?? 0,
  };
}

function refused(file: string, problem: Omit<Problem, 'file'>): YamlSource {
  return { file, documents: [], problems: [{ file, ...problem }] };
}

/** A syntax error makes more of them; only the first tells something. Keys given twice all do. */
function telling(errors: readonly YAMLError[]): YAMLError[] {
  const first = errors.find(({ code }) => code !== 'DUPLICATE_KEY');
  return errors.filter((error) => error === first || (!first && error.code === 'DUPLICATE_KEY'));
}

function describeYamlError(error: YAMLError, text: string): { message: string; expected?: string } {
  const [first = error.message] = error.message.split('\n');
  const plain = first.replace(/ at line \d+, column \d+:?$/, '');
  switch (error.code) {
    case 'TAB_AS_INDENT':
      return { message: 'a tab is used for indentation', expected: 'spaces' };
    case 'DUPLICATE_KEY':
      return { message: 'the key is given twice', expected: 'each key once' };
    case 'TAG_RESOLVE_FAILED':
      return { message: `YAML tags are not supported: ${plain}` };
    default:
      return { message: `not valid YAML: ${plain}`, ...quotesHint(text, error.pos[0]) };
  }
}

/** `a ? b : c` in an expression without quotes reads as a key to YAML. */
function quotesHint(text: string, offset: number): { expected?: string } {
  const line = text.slice(text.lastIndexOf('\n', offset - 1) + 1).split('\n', 1)[0] ?? '';
  return /\$\{\{.*: /.test(line) ? { expected: 'quotes around a text that holds `: `' } : {};
}
