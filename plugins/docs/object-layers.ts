// The layers of an object's documentation: what a model is asked for each, and what is written without one.
import { textBeside } from 'cronwright/plugin';
import { type DatabaseObject, kindWords } from './database-object.ts';
import { cell, code, line, prose } from './markdown.ts';

export const layerNames = ['summary', 'columns', 'relations'] as const;
export type LayerName = (typeof layerNames)[number];

export interface Layer {
  /** The heading above it. */
  title(object: DatabaseObject): string;
  /** The fixed text that the model is given. */
  system: string;
  /** From the catalogue alone: equal objects give equal bytes. */
  template(object: DatabaseObject): string;
}

const context = textBeside(import.meta.url, './prompts/describe-object.md');
const systemOf = (name: LayerName) =>
  `${context}\n\n${textBeside(import.meta.url, `./prompts/describe-object-${name}.md`)}`;

export const layers: Readonly<Record<LayerName, Layer>> = {
  summary: { title: () => 'Summary', system: systemOf('summary'), template: summary },
  columns: {
    title: ({ columns }) => (columns.length === 0 ? 'Parameters and results' : 'Columns'),
    system: systemOf('columns'),
    template: columnTable,
  },
  relations: { title: () => 'Relations', system: systemOf('relations'), template: relationList },
};

/** What a model is told of the object; what cannot be known from it is not in it. */
export function factsOf(object: DatabaseObject): string {
  return JSON.stringify(object, null, 1);
}

function summary(object: DatabaseObject): string {
  const { id, kind, comment, columns, returns, language } = object;
  const said = comment === null ? [] : [prose(comment)];
  const what = `${code(id)} is a ${kindWords(kind)}`;
  const more =
    columns.length > 0
      ? ` with ${columns.length} column${columns.length === 1 ? '' : 's'}`
      : ` in ${language ?? 'an unknown language'}${returns === null ? '' : ` that returns ${code(returns)}`}`;
  const key = object.primary_key.length > 0 ? ` Its primary key is ${names(object.primary_key)}.` : '';
  const sources = object.related.filter(({ how }) => how === 'reads').map((one) => one.id);
  const from = sources.length > 0 ? ` It reads ${names(sources)}.` : '';
  return [...said, `${what}${more}.${key}${from}`].join('\n\n');
}

function columnTable({ columns, parameters, returns }: DatabaseObject): string {
  const rows =
    columns.length > 0
      ? columns.map((one) => [one.name, one.type, one.nullable ? 'yes' : 'no', one.comment])
      : parameters.map((one) => [one.name ?? '', one.type, '', modeWords[one.mode] ?? one.mode]);
  if (rows.length === 0) return returns === null ? 'No parameters.' : `No parameters; it returns ${code(returns)}.`;
  const head = '| name | type | nullable | meaning |\n|---|---|---|---|';
  const lines = rows.map(([name, type, nullable, meaning]) => {
    const cells = [code(name ?? '', true), code(type ?? '', true), nullable ?? '', cell(meaning ?? 'not documented')];
    return `| ${cells.join(' | ')} |`;
  });
  return [head, ...lines].join('\n');
}

const modeWords: Readonly<Record<string, string>> = {
  in: 'parameter',
  out: 'result',
  inout: 'parameter and result',
  variadic: 'parameter, any number of them',
  table: 'column of the result',
};

const relationWords: Readonly<Record<string, string>> = {
  references: 'Refers to',
  referenced_by: 'Is referred to by',
  reads: 'Reads',
  read_by: 'Is read by',
};

function relationList({ related }: DatabaseObject): string {
  if (related.length === 0) return 'No relations are recorded in the catalogue.';
  return related
    .map(({ how, id, by }) => `- ${relationWords[how] ?? line(how)} ${code(id)}${by === null ? '' : `: ${code(by)}`}`)
    .join('\n');
}

function names(all: readonly string[]): string {
  return all.map((one) => code(one)).join(', ');
}
