// Reads plugin.yaml and makes of it a plugin whose steps are programs; each mistake has its line and column.
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { dirname, isAbsolute, relative, resolve } from 'node:path';
import { type Finding, placeFinding } from '../../config/pipeline-check.ts';
import { readYaml, type YamlDocument } from '../../config/yaml-source.ts';
import { zodProblems } from '../../config/zod-problems.ts';
import type { Problem } from '../../domain/errors.ts';
import { type PluginDefinition, type StandardSchema, type StepDefinition, StepError } from '../api.ts';
import { acceptJsonSchema } from './accept-json-schema.ts';
import { type Manifest, manifestJsonSchema, manifestSchema } from './manifest-schema.ts';

export interface LoadedManifest {
  readonly definition: PluginDefinition;
  /** By step: program and arguments, files as absolute paths. */
  readonly commands: Readonly<Record<string, readonly string[]>>;
}

/** `file` is absolute; problems name it as seen from `baseDir`, as those of all other files of a configuration do. */
export async function loadManifest(
  file: string,
  baseDir: string,
): Promise<{ manifest: LoadedManifest; problems?: undefined } | { problems: readonly Problem[] }> {
  const name = relative(baseDir, file);
  const { documents, problems } = await readYaml(file, name);
  if (problems.length > 0) return { problems };
  const [document, second] = documents;
  if (!document) return { problems: [{ file: name, line: 1, column: 1, message: 'the file says nothing' }] };
  if (second) return { problems: [placeFinding(second, [], { message: 'a second document', expected: 'one' })] };
  const parsed = manifestSchema.safeParse(document.value);
  if (!parsed.success) {
    const found = zodProblems(parsed.error, document.value, manifestJsonSchema());
    return { problems: found.map(({ path, isUnknownKey: _, ...finding }) => placeFinding(document, path, finding)) };
  }
  return buildPlugin(parsed.data, document, dirname(file));
}

function buildPlugin(
  { steps, ...about }: Manifest,
  document: YamlDocument,
  folder: string,
): { manifest: LoadedManifest } | { problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const definitions: Record<string, StepDefinition> = {};
  const commands: Record<string, readonly string[]> = {};
  for (const [name, { command, input, output, description, compensate, ...ways }] of Object.entries(steps)) {
    const complain = (path: readonly (string | number)[], finding: Finding) =>
      problems.push(placeFinding(document, ['steps', name, ...path], finding));
    const neverHere = () => {
      throw new StepError('fatal', `${about.name}.${name} is a program and runs in a process of its own`);
    };
    commands[name] = command.map((word, index) => resolveWord(word, index, folder, complain));
    definitions[name] = {
      ...withoutAbsent({ description, ...ways }),
      input: readSchema(input, 'input', complain),
      output: readSchema(output, 'output', complain),
      inputJsonSchema: input,
      outputJsonSchema: output,
      isolation: 'process',
      run: neverHere,
      ...(compensate ? { compensate: neverHere } : {}),
    };
  }
  if (problems.length > 0) return { problems };
  const { description, ...rest } = about;
  return { manifest: { definition: { ...rest, ...withoutAbsent({ description }), steps: definitions }, commands } };
}

type Complain = (path: readonly (string | number)[], finding: Finding) => void;

/** A file of the folder becomes an absolute path, because the step works in its run's workspace. */
function resolveWord(word: string, index: number, folder: string, complain: Complain): string {
  const isOwn = /^\.{1,2}\//.test(word);
  if (!isOwn && !(index === 0 && word.includes('/'))) return word;
  const path = isAbsolute(word) ? word : resolve(folder, word);
  const place = ['command', index];
  if (!existsSync(path)) complain(place, { message: 'there is no such file', got: word, expected: path });
  else if (index === 0 && !statSync(path).isFile())
    complain(place, { message: 'this is no file', got: word, expected: 'a program' });
  else if (index === 0 && !isExecutable(path)) {
    const expected = `chmod +x ${word}, or the program that reads it in front of it`;
    complain(place, { message: 'the file is not executable', got: word, expected });
  }
  return path;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function readSchema(schema: Record<string, unknown>, key: 'input' | 'output', complain: Complain): StandardSchema {
  const accepted = acceptJsonSchema(schema);
  if (!accepted.faults) return accepted.validator;
  for (const { path, ...finding } of accepted.faults) complain([key, ...path], finding);
  return nothing;
}

/** Stands where a schema is broken; the plugin is not used then. */
const nothing: StandardSchema = { '~standard': { version: 1, vendor: 'cronwright', validate: (value) => ({ value }) } };

function withoutAbsent<T extends object>(values: T): { [Key in keyof T]?: Exclude<T[Key], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as never;
}
