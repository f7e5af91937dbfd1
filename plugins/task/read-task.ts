// Reads what a task says: the things it is about, their fields, what is to be done with them by whom, its routes and its rules.
import { attributeNouns, determiners, genericNouns, isPlural, pronouns, singular, stopWords } from './nouns.ts';
import {
  actsOnSelf,
  isPassiveAt,
  listAt,
  objectsAfter,
  type Phrase,
  phraseAt,
  phraseBefore,
  verbAt,
  type Words,
} from './phrases.ts';
import { sentencesOf, type Token, tokensOf } from './sentences.ts';
import type { Task } from './subtask.ts';
import { type Access, accessOf, verbFormsOf } from './verbs.ts';

export interface Action {
  verb: string;
  access: Access;
  /** Whether the text speaks of several at once. */
  isMany: boolean;
  /** The sentence that asks for it. */
  sentence: string;
}

export interface Route {
  method: string;
  path: string;
  sentence: string;
}

export interface Thing {
  words: Words;
  fields: string[];
  /** Other things that it names as its own, by key. */
  owns: string[];
  /** Those it belongs to, by key. */
  of: string[];
  actions: Action[];
  routes: Route[];
  /** Sentences that bind: must, at most, unique … */
  rules: string[];
  /** All that speak of it. */
  sentences: string[];
}

export interface TaskFacts {
  /** By key, which is the words joined by a blank, as they come in the text. */
  things: ReadonlyMap<string, Thing>;
  actors: readonly string[];
  /** Requirements that name none of the things. */
  general: readonly string[];
  /** Percent of coverage that the task asks for. */
  coverage: number | null;
}

/** Of one thing: fields, actions and routes; and rules. What is bound more often has to be taken apart by people first. */
const mostParts = 60;
const mostRules = 25;
const routePattern = /\b(GET|POST|PUT|PATCH|DELETE)\s+(\/[\w\-/:{}.]*[\w}])/g;
const rulePattern =
  /\b(?:must|never|only|at most|at least|no more than|exactly|unique|required|mandatory|within|up to|maximum|minimum|cannot|may not|should|unless|not allowed|before|after|always|every|limit(?:ed)?|\d+)\b/i;

export function readTask(task: Task): TaskFacts {
  const described = [task.title, ...sentencesOf(task.description)];
  const required = task.requirements.flatMap(sentencesOf);
  const sentences = [...new Set([...described, ...required])];
  const reader = createReader();
  for (const sentence of sentences) reader.read(sentence);
  const things = reader.finish(task.title);
  const general: string[] = [];
  for (const sentence of sentences) {
    const named = thingsNamedIn(things, sentence);
    for (const thing of named) note(thing, sentence, required.includes(sentence));
    // What tests have to cover is no matter of services.
    const isGeneral = named.length === 0 && required.includes(sentence) && coverageIn([sentence]) === null;
    if (isGeneral && general.length < mostRules) general.push(sentence);
  }
  return { things, actors: reader.actors(), general, coverage: coverageIn(sentences) };
}

function note(thing: Thing, sentence: string, isRequired: boolean): void {
  if (!thing.sentences.includes(sentence)) thing.sentences.push(sentence);
  const isRule = isRequired || rulePattern.test(sentence);
  if (isRule && thing.rules.length < mostRules && !thing.rules.includes(sentence)) thing.rules.push(sentence);
}

/** Things, or where there are none those that have a field of that name. */
function thingsNamedIn(things: ReadonlyMap<string, Thing>, sentence: string): Thing[] {
  const named = thingsIn(things, sentence);
  if (named.length > 0) return named;
  const words = new Set(tokensOf(sentence).map(({ text }) => singular(text)));
  return [...things.values()].filter(({ fields }) => fields.some((field) => words.has(field)));
}

function thingsIn(things: ReadonlyMap<string, Thing>, sentence: string): Thing[] {
  const text = ` ${tokensOf(sentence)
    .flatMap(({ text, isWord }) => (isWord ? text.split('-').map(singular) : text))
    .join(' ')} `;
  return [...things].filter(([key]) => text.includes(` ${key} `)).map(([, thing]) => thing);
}

function coverageIn(sentences: readonly string[]): number | null {
  for (const sentence of sentences.filter((one) => /coverage|covered|tests?\b/i.test(one))) {
    const found = /(\d{1,3})\s*(?:%|percent)/i.exec(sentence)?.[1];
    if (found !== undefined && Number(found) <= 100) return Number(found);
  }
  return null;
}

/** What one place of the text says of one thing. */
interface Found {
  words: Words;
  action?: Action;
  route?: Route;
  fields?: Phrase[];
  of?: Words;
  /** Says something only of what is spoken of elsewhere, too. */
  isWeak?: boolean;
}

function createReader() {
  const found: Found[] = [];
  const whoActs = new Set<string>();

  function read(sentence: string): void {
    for (const [, method, path] of sentence.matchAll(routePattern)) readRoute(String(method), String(path), sentence);
    const plain = sentence.replace(routePattern, ', ');
    const from = found.length;
    readWords(tokensOf(plain), sentence);
    // The route says what it is about; the words beside it only explain.
    if (plain !== sentence) for (const one of found.slice(from)) one.isWeak = true;
  }

  function readWords(tokens: readonly Token[], sentence: string): void {
    let waiting: { verb: string; access: Access }[] = [];
    let lastObject: Phrase | undefined;
    let subject: Phrase | undefined;
    for (let at = 0; at < tokens.length; at += 1) {
      const verb = verbAt(tokens, at, waiting.length > 0);
      if (verb !== undefined) {
        subject = phraseBefore(tokens, at) ?? subject;
        if (verbFormsOf(tokens[at]?.text ?? '')?.form === 'base' && phraseBefore(tokens, at)) noteActor(subject);
        const isOfSelf = actsOnSelf(tokens, at);
        if (isOfSelf && subject) {
          const name = /^(?:in|out|up)$/.test(tokens[at + 1]?.text ?? '')
            ? `${verb.verb} ${tokens[at + 1]?.text}`
            : verb.verb;
          act([{ ...verb, verb: name }], { ...subject, isMany: false }, sentence);
          continue;
        }
        waiting.push(verb);
        const objects = objectsAfter(tokens, at + 1, lastObject);
        if (objects.length === 0) continue;
        for (const object of objects) act(waiting, object, sentence);
        lastObject = objects[0];
        waiting = [];
        at = Math.max(at, (objects.at(-1)?.end ?? at + 1) - 1);
        // "products with a price": the fields stand right behind the object.
        const fields = tokens[at + 1]?.text === 'with' ? listAt(tokens, at + 2, true) : [];
        if (lastObject && fields.length > 0) found.push({ words: lastObject.words, fields });
        continue;
      }
      readPassive(tokens, at, sentence, lastObject);
      readOwner(tokens, at);
      subject = readActor(tokens, at) ?? subject;
    }
  }

  function readRoute(method: string, path: string, sentence: string): void {
    const names = path.split('/').filter((part) => part !== '' && !/^[:{]|^(?:api|v\d+)$/.test(part));
    const plurals = names.filter(isPlural);
    const name = plurals.at(-1) ?? names[0];
    if (name === undefined) return;
    const words = name
      .toLowerCase()
      .split(/[-_.]/)
      .map((word, i, all) => (i === all.length - 1 ? singular(word) : word));
    found.push({ words, route: { method, path, sentence } });
  }

  function act(verbs: readonly { verb: string; access: Access }[], object: Phrase, sentence: string): void {
    for (const { verb, access } of verbs) {
      // "Build a shop for books" names the whole, which is none of its things where it has any.
      if (access === 'build') found.push({ words: object.words, isWeak: true });
      else found.push({ words: object.words, action: { verb, access, isMany: object.isMany, sentence } });
    }
  }

  /** "Invoices can be cancelled", "a receipt is sent". */
  function readPassive(tokens: readonly Token[], at: number, sentence: string, last: Phrase | undefined): void {
    const form = verbFormsOf(tokens[at]?.text ?? '');
    if (form?.form !== 'ed' || !/^(?:be|is|are|get|gets)$/.test(tokens[at - 1]?.text ?? '')) return;
    let from = at - 1;
    while (
      from > 0 &&
      /^(?:be|is|are|can|may|must|should|will|not|only|also|never)$/.test(tokens[from - 1]?.text ?? '')
    )
      from -= 1;
    const subject = phraseBefore(tokens, from) ?? (pronouns.has(tokens[from - 1]?.text ?? '') ? last : undefined);
    const access = accessOf.get(form.verb);
    if (subject && access) act([{ verb: form.verb, access }], subject, sentence);
  }

  /** "An invoice has a number and a due date", "each order belongs to a customer". */
  function readOwner(tokens: readonly Token[], at: number): void {
    const text = tokens[at]?.text ?? '';
    const next = tokens[at + 1]?.text;
    if (/^belongs?$/.test(text) && next === 'to') {
      const owned = phraseBefore(tokens, at);
      const owners = owned ? listAt(tokens, at + 2) : [];
      for (const owner of owners) found.push({ words: owned?.words ?? [], of: owner.words }, { words: owner.words });
      return;
    }
    const isList =
      /^(?:has|have|contains?|includes?|stores?|needs?)$/.test(text) || (/^consists?$/.test(text) && next === 'of');
    if (!isList) return;
    const owner = phraseBefore(tokens, at);
    if (!owner || whoActs.has(owner.words.join(' '))) return;
    const fields = listAt(tokens, at + (text.startsWith('consist') ? 2 : 1), true);
    if (fields.length > 0) found.push({ words: owner.words, fields });
  }

  /** "Customers can …", "as a manager, …". */
  function readActor(tokens: readonly Token[], at: number): Phrase | undefined {
    const isModal = /^(?:can|may|must|should|will)$/.test(tokens[at]?.text ?? '') && !isPassiveAt(tokens, at + 1);
    const isStory = tokens[at]?.text === 'as' && /^an?$/.test(tokens[at + 1]?.text ?? '');
    const who = isStory ? phraseAt(tokens, at + 2) : isModal ? phraseBefore(tokens, at) : undefined;
    noteActor(who);
    return who;
  }

  function noteActor(who: Phrase | undefined): void {
    if (who) whoActs.add(who.words.join(' '));
  }

  function finish(title: string): Map<string, Thing> {
    const strong = new Set(found.filter((one) => !one.isWeak).map(({ words }) => words.join(' ')));
    const kept = strong.size === 0 ? [...found] : found.filter((one) => !one.isWeak || strong.has(one.words.join(' ')));
    if (kept.length === 0) kept.push({ words: nounOfTitle(title) });
    const known = new Set(kept.map(({ words }) => words.join(' ')));
    const things = new Map<string, Thing>();
    const thingOf = (words: Words) => {
      const own = ownWords(words, known).flatMap((word) => word.split('-'));
      const key = own.join(' ');
      const thing = things.get(key) ?? emptyThing(own);
      things.set(key, thing);
      return { key, thing };
    };
    for (const one of kept) {
      const field = attributeOf(one.words, known);
      const { thing } = thingOf(field ? field.owner : one.words);
      if (field && !thing.fields.includes(field.name)) thing.fields.push(field.name);
      if (one.action) addAction(thing, one.action);
      if (one.route) addRoute(thing, one.route);
    }
    for (const { words, fields = [], of } of kept) {
      const { key, thing } = thingOf(attributeOf(words, known)?.owner ?? words);
      for (const field of fields) addField(things, key, thing, field);
      const owner = of && thingOf(of).key;
      if (owner !== undefined && owner !== key && !thing.of.includes(owner)) thing.of.push(owner);
    }
    return things;
  }

  return { read, finish, actors: () => [...whoActs] };
}

function addAction(thing: Thing, action: Action): void {
  if (thing.actions.length >= mostParts || thing.actions.some(({ verb }) => verb === action.verb)) return;
  thing.actions.push(action);
}

function addRoute(thing: Thing, route: Route): void {
  if (thing.routes.length >= mostParts) return;
  if (!thing.routes.some(({ method, path }) => method === route.method && path === route.path))
    thing.routes.push(route);
}

/** What another thing is called is a link to it; all else is a field. */
function addField(things: ReadonlyMap<string, Thing>, key: string, thing: Thing, { words, isMany }: Phrase): void {
  const name = words.join(' ');
  const other = things.get(name);
  if (other && name !== key) {
    if (isMany && !other.of.includes(key)) other.of.push(key);
    if (!isMany && !thing.of.includes(name)) thing.of.push(name);
    if (isMany && !thing.owns.includes(name)) thing.owns.push(name);
    return;
  }
  if (thing.fields.length >= mostParts) return;
  const field = isMany ? `${words.join('_')}_list` : words.join('_');
  if (!thing.fields.includes(field)) thing.fields.push(field);
}

function emptyThing(words: Words): Thing {
  return { words, fields: [], owns: [], of: [], actions: [], routes: [], rules: [], sentences: [] };
}

/** `overdue invoice` is an invoice where the text speaks of invoices. */
function ownWords(words: Words, known: ReadonlySet<string>): Words {
  const last = words.at(-1) ?? '';
  return words.length > 1 && known.has(last) ? [last] : words;
}

/** `order status` is a field of the order. */
function attributeOf(words: Words, known: ReadonlySet<string>): { owner: Words; name: string } | undefined {
  const name = words.at(-1) ?? '';
  const owner = words.slice(0, -1);
  if (owner.length === 0 || !attributeNouns.has(name) || !known.has(owner.join(' '))) return undefined;
  return { owner, name };
}

function nounOfTitle(title: string): Words {
  const words = tokensOf(title).filter(({ text, isWord }) => isWord && !stopWords.has(text) && !determiners.has(text));
  const told = words.map(({ text }) => text).filter((text) => verbFormsOf(text)?.form !== 'base');
  const own = told.filter((text) => !genericNouns.has(text)).slice(-2);
  return own.length > 0 ? own.map((word, i) => (i === own.length - 1 ? singular(word) : word)) : ['task'];
}
