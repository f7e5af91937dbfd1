// Makes pipelines of a template: a document that names one becomes a document a pipeline, each with its places in both files.
import { closestWord } from '../domain/closest-word.ts';
import type { Problem } from '../domain/errors.ts';
import { expandTemplate } from './expand-template.ts';
import { isRequired, parameterProblems, type Template } from './load-templates.ts';
import { type Finding, placeFinding } from './pipeline-check.ts';
import { templateUseJsonSchema } from './template-json-schema.ts';
import { type TemplateUseShape, templateUseSchema } from './template-schema.ts';
import type { KeyPath, YamlDocument } from './yaml-source.ts';
import { valueAt, zodProblems } from './zod-problems.ts';

/** A document as the checks see it. */
export interface UnfoldedDocument {
  document: YamlDocument;
  /** Which pipeline of which file it is, for problems that stand in a template; absent for plain pipelines. */
  origin?: { text: string; template: Template };
}

export interface Unfolded {
  documents: UnfoldedDocument[];
  problems: Problem[];
  /** The template that was named, where it is known. */
  template?: string;
}

/** Keys that a pipeline says itself; they win over those of its template. */
const ownKeys = ['id', 'tenant', 'description'] as const;

/** A document without `template` is a pipeline itself. */
export function unfoldDocument(document: YamlDocument, templates: ReadonlyMap<string, Template>): Unfolded {
  if (valueAt(document.value, ['template']) === undefined) return { documents: [{ document }], problems: [] };
  const problems: Problem[] = [];
  const refuse = (path: KeyPath, finding: Finding) => problems.push(placeFinding(document, path, finding));
  const parsed = templateUseSchema.safeParse(document.value);
  if (!parsed.success) {
    const found = zodProblems(parsed.error, document.value, templateUseJsonSchema());
    for (const { path, isUnknownKey: _, ...finding } of found) refuse(path, finding);
    const named = valueAt(document.value, ['template']);
    return { documents: [], problems, ...(typeof named === 'string' ? { template: named } : {}) };
  }
  const use = parsed.data;
  const template = templates.get(use.template);
  if (!template) {
    const names = [...templates.keys()];
    const meant = closestWord(use.template, names);
    const message = meant === undefined ? 'unknown template' : `unknown template; did you mean "${meant}"?`;
    const expected = names.length > 0 ? `one of: ${names.join(', ')}` : 'a template in `templates/`';
    refuse(['template'], { message, got: use.template, expected });
    return { documents: [], problems };
  }
  const name = use.template;
  if (use.pipelines && use.id !== undefined) {
    refuse(['id'], {
      atKey: true,
      message: 'this means nothing beside `pipelines`',
      expected: 'an `id` in each entry',
    });
  }
  if (template.isBroken || problems.length > 0) return { documents: [], problems, template: name };
  const tellAll = (found: readonly Problem[]) => void problems.push(...found);
  const context: Use = { document, use, template, refuse, tellAll };
  const documents = membersOf(use).flatMap((member) => expandMember(member, context) ?? []);
  return { documents, problems, template: name };
}

/** A problem of a template says for which pipeline it is one. */
export function told<Told extends { message: string }>(problem: Told, origin: string): Told {
  return { ...problem, message: `${problem.message} (${origin})` };
}

/** A pipeline of the template with the defaults of its parameters; undefined where some have none. */
export function sampleOf(template: Template): YamlDocument | undefined {
  const values: Record<string, unknown> = {};
  for (const [name, parameter] of Object.entries(template.parameters)) {
    values[name] = parameter.default ?? null;
    if (values[name] === null && isRequired(parameter)) return undefined;
  }
  const { value, problems } = expandTemplate(template.body, values);
  if (problems.length > 0) return undefined;
  return expandedDocument(template, { id: template.name, ...value }, template.document, new Map());
}

interface Member {
  shape: Pick<TemplateUseShape, 'id' | 'tenant' | 'description' | 'with'>;
  path: KeyPath;
}

function membersOf(use: TemplateUseShape): Member[] {
  if (!use.pipelines) return [{ shape: use, path: [] }];
  return use.pipelines.map((shape, index) => ({ shape, path: ['pipelines', index] }));
}

interface Use {
  document: YamlDocument;
  use: TemplateUseShape;
  template: Template;
  refuse: (path: KeyPath, finding: Finding) => void;
  tellAll: (problems: readonly Problem[]) => void;
}

/** Undefined where its parameters are wrong. */
function expandMember(
  { shape, path }: Member,
  { document, use, template, refuse, tellAll }: Use,
): UnfoldedDocument | undefined {
  let isRight = true;
  const tell = (at: KeyPath, finding: Finding) => {
    isRight = false;
    refuse(at, finding);
  };
  const values = parameterValues({ shape, path }, use, template, tell);
  if (!isRight) return undefined;
  const own = new Map<string, KeyPath>();
  const said: Record<string, unknown> = {};
  for (const key of ownKeys) {
    const at = valueAt(document.value, [...path, key]) === undefined ? [key] : [...path, key];
    const value = shape[key] ?? (key === 'id' ? undefined : use[key]);
    if (value === undefined) continue;
    own.set(key, at);
    said[key] = value;
  }
  const { value, problems } = expandTemplate(template.body, values);
  // Told where it is missing: neither says it.
  if (said.id === undefined && value.id === undefined) own.set('id', [...path, 'id']);
  const expanded = expandedDocument(template, { ...value, ...said }, document, own);
  const { file, line, column } = document.placeOf(path);
  const id = said.id ?? value.id;
  const text = `pipeline ${typeof id === 'string' ? id : '?'} of ${file}:${line}:${column}`;
  if (problems.length > 0) {
    tellAll(problems.map((one) => placeFinding(template.document, one.path, told(one.finding, text))));
    return undefined;
  }
  return { document: expanded, origin: { text, template } };
}

function parameterValues(
  { shape, path }: Member,
  use: TemplateUseShape,
  { parameters, name: template }: Template,
  tell: (path: KeyPath, finding: Finding) => void,
): Record<string, unknown> {
  const names = Object.keys(parameters);
  const values: Record<string, unknown> = {};
  const given = new Map<string, { value: unknown; at: KeyPath }>();
  for (const [key, value] of Object.entries(use.with)) given.set(key, { value, at: ['with', key] });
  for (const [key, value] of Object.entries(shape.with)) given.set(key, { value, at: [...path, 'with', key] });
  for (const [key, { value, at }] of given) {
    const parameter = Object.hasOwn(parameters, key) ? parameters[key] : undefined;
    if (parameter) {
      for (const finding of parameterProblems(value, parameter)) tell(at, finding);
      continue;
    }
    const meant = closestWord(key, names);
    const message = meant === undefined ? 'unknown parameter' : `unknown parameter; did you mean "${meant}"?`;
    const expected =
      names.length > 0 ? `one of: ${names.join(', ')}` : `nothing: template ${template} has no parameters`;
    tell(at, { atKey: true, message, got: key, expected });
  }
  for (const [key, parameter] of Object.entries(parameters)) {
    const value = given.get(key)?.value ?? parameter.default ?? null;
    values[key] = value;
    if (value !== null || !isRequired(parameter)) continue;
    const message = `the parameter "${key}" of template ${template} is required, but not given`;
    tell([...path, 'with'], { message, expected: `\`with: { ${key}: … }\`` });
  }
  return values;
}

/** What the pipeline says itself stands in its file, all else in the template. */
function expandedDocument(
  template: Template,
  value: unknown,
  document: YamlDocument,
  own: ReadonlyMap<string, KeyPath>,
): YamlDocument {
  const find = (path: KeyPath): { document: YamlDocument; path: KeyPath } => {
    const at = own.get(String(path[0]));
    return at ? { document, path: [...at, ...path.slice(1)] } : { document: template.document, path };
  };
  return {
    file: template.document.file,
    value,
    placeOf(path) {
      const found = find(path);
      return found.document.placeOf(found.path);
    },
    placeOfKey(path) {
      const found = find(path);
      return found.document.placeOfKey(found.path);
    },
    placeWithin(path, offset) {
      const found = find(path);
      // Where a value was put in, places within the text are no places of the file.
      const isWritten = valueAt(found.document.value, found.path) === valueAt(value, path);
      return isWritten ? found.document.placeWithin(found.path, offset) : found.document.placeOf(found.path);
    },
  };
}
