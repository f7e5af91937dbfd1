// Reads `--where state=failed,pipeline=x`: which runs a command in bulk is meant for.
import { origins, runStates } from '../domain/run.ts';
import { instantOrDistance, wrongOption } from './option-values.ts';

export interface WhereFilter {
  states?: string[];
  pipeline?: string;
  schedule?: string;
  origins?: string[];
  from?: string;
  to?: string;
  ids?: string[];
}

const names = 'state, pipeline, schedule, origin, from, to, id';

/** A name may come again where it is a list: `state=failed,state=cancelled`. Throws `invalid_input`. */
export function parseWhere(text: string, nowMs: number): WhereFilter {
  const filter: WhereFilter = {};
  for (const part of text.split(',')) {
    const [name = '', value = ''] = split(part.trim());
    if (value === '') throw wrong(part, `name=value, with a name of: ${names}`);
    put(filter, name, value, nowMs);
  }
  return filter;
}

function put(filter: WhereFilter, name: string, value: string, nowMs: number): void {
  switch (name) {
    case 'state':
      filter.states = [...(filter.states ?? []), known('state', value, runStates)];
      return;
    case 'origin':
      filter.origins = [...(filter.origins ?? []), known('origin', value, origins)];
      return;
    case 'id':
      filter.ids = [...(filter.ids ?? []), value];
      return;
    case 'pipeline':
    case 'schedule':
      if (filter[name] !== undefined) throw wrong(`${name}=${value}`, `${name} once`);
      filter[name] = value;
      return;
    case 'from':
    case 'to':
      if (filter[name] !== undefined) throw wrong(`${name}=${value}`, `${name} once`);
      filter[name] = new Date(instantOrDistance(`--where ${name}`, value, nowMs)).toISOString();
      return;
    default:
      throw wrong(`${name}=${value}`, `a name of: ${names}`);
  }
}

function split(part: string): [string, string] {
  const at = part.indexOf('=');
  return at < 0 ? [part, ''] : [part.slice(0, at), part.slice(at + 1)];
}

function known(name: string, value: string, words: readonly string[]): string {
  if (words.includes(value)) return value;
  throw wrong(`${name}=${value}`, `one of: ${words.join(', ')}`);
}

function wrong(got: string, expected: string): Error {
  return wrongOption('--where', got, expected);
}
