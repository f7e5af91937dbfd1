// Reads and checks the templates of a configuration: their names, their parameters, and which of these the body names.
import { closestWord } from '../domain/closest-word.ts';
import type { Problem } from '../domain/errors.ts';
import type { InputDefinition } from '../domain/pipeline.ts';
import { valueProblems } from './check-inputs.ts';
import { findParameterUses } from './expand-template.ts';
import { type Finding, placeFinding } from './pipeline-check.ts';
import { templateHeadJsonSchema } from './template-json-schema.ts';
import { type ParameterShape, templateHeadSchema } from './template-schema.ts';
import type { KeyPath, YamlDocument, YamlSource } from './yaml-source.ts';
import { shownValue, zodProblems } from './zod-problems.ts';

export interface Template {
  name: string;
  parameters: Readonly<Record<string, ParameterShape>>;
  /** What the pipelines are made of: the document without its head. */
  body: Readonly<Record<string, unknown>>;
  document: YamlDocument;
  /** It has problems of its own, which have been told: its pipelines are not looked at. */
  isBroken: boolean;
}

export interface LoadedTemplates {
  byName: ReadonlyMap<string, Template>;
  problems: Problem[];
  warnings: Problem[];
}

export function loadTemplates(sources: readonly YamlSource[]): LoadedTemplates {
  const byName = new Map<string, Template>();
  const problems: Problem[] = [];
  const warnings: Problem[] = [];
  for (const { file, documents, problems: unread } of sources) {
    problems.push(...unread);
    if (documents.length === 0 && unread.length === 0) {
      problems.push({ file, line: 1, column: 1, message: 'the file is empty', expected: 'a template' });
    }
    for (const document of documents) {
      const told = problems.length;
      const refuse = (path: KeyPath, finding: Finding) => problems.push(placeFinding(document, path, finding));
      const template = readTemplate(document, refuse);
      if (!template) continue;
      const other = byName.get(template.name);
      if (other) {
        const { file: where, line } = other.document.placeOf(['template']);
        const message = `the template is already defined in ${where}:${line}`;
        refuse(['template'], { message, got: template.name, expected: 'a name of its own' });
        continue;
      }
      checkTemplate(template, refuse, (path, finding) => warnings.push(placeFinding(document, path, finding)));
      byName.set(template.name, { ...template, isBroken: problems.length > told });
    }
  }
  return { byName, problems, warnings };
}

type Tell = (path: KeyPath, finding: Finding) => void;

/** Undefined where it has no name that it could be known by. */
function readTemplate(document: YamlDocument, refuse: Tell): Omit<Template, 'isBroken'> | undefined {
  const parsed = templateHeadSchema.safeParse(document.value);
  if (!parsed.success) {
    for (const { path, isUnknownKey: _, ...finding } of zodProblems(
      parsed.error,
      document.value,
      templateHeadJsonSchema(),
    )) {
      refuse(path, finding);
    }
  }
  if (typeof document.value !== 'object' || document.value === null) return undefined;
  const { template: name, parameters: _, ...body } = document.value as Record<string, unknown>;
  if (typeof name !== 'string') return undefined;
  return { name, parameters: parsed.data?.parameters ?? {}, body, document };
}

function checkTemplate({ parameters, body }: Omit<Template, 'isBroken'>, refuse: Tell, warn: Tell): void {
  const names = Object.keys(parameters);
  const unused = new Set(names);
  for (const { path, offset, name } of findParameterUses(body)) {
    if (name !== undefined) unused.delete(name);
    if (name !== undefined && names.includes(name)) continue;
    const meant = name === undefined ? undefined : closestWord(name, names);
    const message = meant === undefined ? 'unknown parameter' : `unknown parameter; did you mean "${meant}"?`;
    const expected = names.length > 0 ? `one of: ${names.join(', ')}` : 'a parameter of `parameters`';
    refuse(path, { message, got: name ?? 'parameters', expected, offset });
  }
  for (const name of unused) {
    warn(['parameters', name], { atKey: true, message: 'nothing in the template names this parameter', got: name });
  }
  for (const [name, parameter] of Object.entries(parameters)) {
    for (const finding of defaultProblems(parameter)) refuse(['parameters', name, 'default'], finding);
  }
}

function defaultProblems(parameter: ParameterShape): Finding[] {
  return parameter.default === undefined ? [] : parameterProblems(parameter.default, parameter);
}

/** What is wrong with a value for a parameter. A text may hold an expression of run time. */
export function parameterProblems(value: unknown, parameter: ParameterShape): Finding[] {
  if (typeof value === 'string' && value.includes('${{') && parameter.enum === undefined) {
    if (parameter.type === 'string') return [];
    return [
      {
        message: 'only a parameter of type string may hold an expression',
        got: shownValue(value),
        expected: parameter.type,
      },
    ];
  }
  return valueProblems(value, { ...parameter, required: isRequired(parameter) } as InputDefinition);
}

export function isRequired(parameter: ParameterShape): boolean {
  return parameter.required ?? parameter.default === undefined;
}
