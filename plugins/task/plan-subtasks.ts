// Makes subtasks of what a task says, category by category, each from sentences of the task and nothing else.
import { className, kebab, plural } from './nouns.ts';
import type { Action, TaskFacts, Thing } from './read-task.ts';
import type { Category, Priority, Subtask } from './subtask.ts';

/** More things than these are not told apart well by words alone; the rest is told as left out. */
const mostThings = 30;
/** Of one sentence; what has no end is quoted up to here. */
const mostQuoted = 500;

export interface Plan {
  subtasks: Subtask[];
  /** Things of the text that have no subtasks, because there are too many. */
  leftOut: string[];
}

export function planSubtasks(facts: TaskFacts): Plan {
  const all = [...facts.things];
  const known = new Map(all.slice(0, mostThings));
  const plan = { facts, things: known, owners: ownersOf(known), slugs: slugsOf(known) };
  const things = [...plan.things.values()];
  const subtasks = [
    ...things.map((thing) => planModel(plan, thing)),
    ...things.map((thing) => planService(plan, thing)),
    ...things.map((thing) => planApi(plan, thing)),
    ...things.flatMap((thing) => planTests(plan, thing)),
  ];
  return { subtasks, leftOut: all.slice(mostThings).map(([, { words }]) => className(words)) };
}

interface Planned {
  facts: TaskFacts;
  things: ReadonlyMap<string, Thing>;
  /** Keys of the things that each belongs to, without a circle. */
  owners: ReadonlyMap<string, readonly string[]>;
  /** What ids of each are made of, by key. */
  slugs: ReadonlyMap<string, string>;
}

function planModel(plan: Planned, thing: Thing): Subtask {
  const requirements = [
    `Model ${className(thing.words)}, with an identity of its own`,
    ...thing.fields.map((field) => `Field \`${field}\``),
    ...thing.of.map((key) => `Belongs to ${nameOf(key)}`),
    ...thing.owns.map((key) => `Has any number of ${nameOf(key)}`),
    ...thing.rules
      .filter((rule) => /unique|required|mandatory|exactly|at most|at least|maximum|minimum/i.test(rule))
      .map(quoted),
  ];
  return {
    id: idOf(plan, 'DATA_MODEL', keyOf(thing)),
    category: 'DATA_MODEL',
    title: `Data model: ${className(thing.words)}`,
    description: describe(thing, `What is stored of ${plural(spoken(thing))}.`),
    requirements,
    dependencies: (plan.owners.get(keyOf(thing)) ?? []).map((key) => idOf(plan, 'DATA_MODEL', key)),
    estimated_effort_hours: 1 + 0.5 * (requirements.length - 1),
    priority: priorityOf(thing, neededBy(plan, thing) > 1),
  };
}

function planService(plan: Planned, thing: Thing): Subtask {
  const { actors, general } = plan.facts;
  const requirements = [
    ...thing.actions.map(({ verb, sentence }) => `${capital(verb)} ${objectOf(verb, thing)}: ${quoted(sentence)}`),
    ...(thing.actions.length === 0 ? [`Create and read ${plural(spoken(thing))}`] : []),
    ...thing.rules.map(quoted),
    ...general.map((rule) => `For all services: ${quoted(rule)}`),
  ];
  const others = [...plan.things].filter(([key, other]) => other !== thing && isNamedIn(thing, key, plan));
  const done = thing.actions.map(({ verb }) => verb).join(', ');
  const who = actors.length === 0 ? '' : ` Who acts: ${actors.map(nameOf).join(', ')}.`;
  return {
    id: idOf(plan, 'SERVICE', keyOf(thing)),
    category: 'SERVICE',
    title: `Service: ${className(thing.words)}${done === '' ? '' : ` (${done})`}`.slice(0, 200),
    description: describe(thing, `What the program does with ${plural(spoken(thing))}.${who}`),
    requirements: [...new Set(requirements)],
    dependencies: [idOf(plan, 'DATA_MODEL', keyOf(thing)), ...others.map(([key]) => idOf(plan, 'DATA_MODEL', key))],
    estimated_effort_hours: 1 + thing.actions.length + 0.5 * thing.rules.length,
    priority: priorityOf(thing, false),
  };
}

function planApi(plan: Planned, thing: Thing): Subtask {
  const routes = routesOf(thing);
  const { actors } = plan.facts;
  return {
    id: idOf(plan, 'HTTP_API', keyOf(thing)),
    category: 'HTTP_API',
    title: `HTTP API: ${plural(spoken(thing))}`,
    description: describe(thing, `How ${plural(spoken(thing))} are asked for over HTTP.`),
    requirements: [
      ...routes.map(({ route, why }) => `\`${route}\`: ${why}`),
      ...(actors.length === 0 ? [] : [`Who may ask: ${actors.map(nameOf).join(', ')}, as the task says of each`]),
      'Answers to wrong input say what was wrong and where',
    ],
    dependencies: [idOf(plan, 'SERVICE', keyOf(thing))],
    estimated_effort_hours: 1 + 0.5 * routes.length,
    priority: priorityOf(thing, false),
  };
}

function planTests(plan: Planned, thing: Thing): Subtask[] {
  const { coverage } = plan.facts;
  const goal = coverage === null ? [] : [`Coverage of at least ${coverage} %, as the task asks`];
  const checks = thing.rules.map((rule) => `A test that fails where this does not hold: ${quoted(rule)}`);
  const routes = routesOf(thing);
  const shared = { category: 'TESTING' as const, priority: priorityOf(thing, false) };
  return [
    {
      ...shared,
      id: `${idOf(plan, 'TESTING', keyOf(thing))}-unit`,
      title: `Unit tests: ${className(thing.words)}`,
      description: describe(
        thing,
        `Tests of the model and the service of ${plural(spoken(thing))}, without a network.`,
      ),
      requirements: [
        ...(thing.actions.length === 0 ? ['Create and read'] : thing.actions.map(({ verb }) => capital(verb))).map(
          (verb) => `${verb}: what it does, and what it refuses`,
        ),
        ...checks,
        ...goal,
      ],
      dependencies: [idOf(plan, 'SERVICE', keyOf(thing))],
      estimated_effort_hours: 1 + 0.5 * (thing.actions.length + thing.rules.length),
    },
    {
      ...shared,
      id: `${idOf(plan, 'TESTING', keyOf(thing))}-e2e`,
      title: `End-to-end tests: ${plural(spoken(thing))}`,
      description: describe(thing, `Tests of ${plural(spoken(thing))} over HTTP, against a database.`),
      requirements: [
        ...routes.map(({ route }) => `\`${route}\`: its answer, and its answer to wrong input`),
        ...(checks.length === 0 ? [] : ['The rules of the task hold over HTTP, too']),
      ],
      dependencies: [idOf(plan, 'HTTP_API', keyOf(thing))],
      estimated_effort_hours: 1 + 0.5 * routes.length,
    },
  ];
}

interface PlannedRoute {
  route: string;
  why: string;
}

/** Those that the text names; beside them one for each verb, by the rules of REST. */
function routesOf(thing: Thing): PlannedRoute[] {
  const base = `/${kebab([...thing.words.slice(0, -1), plural(thing.words.at(-1) ?? 'task')])}`;
  const named = thing.routes.map(({ method, path, sentence }) => ({
    route: `${method} ${path}`,
    why: quoted(sentence),
  }));
  const derived = thing.actions.flatMap((action) =>
    routesFor(action, base).map((route) => ({ route, why: `to ${action.verb} ${objectOf(action.verb, thing)}` })),
  );
  const plain = [`POST ${base}`, `GET ${base}/{id}`].map((route) => ({ route, why: 'to create and to read' }));
  const all = [...named, ...(named.length + derived.length === 0 ? plain : derived)];
  return all.filter(({ route }, i) => all.findIndex((other) => other.route === route) === i);
}

function routesFor({ verb, access, isMany }: Action, base: string): string[] {
  const one = `${base}/{id}`;
  switch (access) {
    case 'create':
      return /^(?:create|add|register|book|place|submit|post|write|upload|invite|issue|record|reserve|insert|enter)$/.test(
        verb,
      )
        ? [`POST ${base}`]
        : [`POST ${base}/${kebab(verb.split(' '))}`];
    case 'list':
      return [`GET ${base}`];
    case 'read':
      return [`GET ${isMany ? base : one}`];
    case 'update':
      return [`PATCH ${one}`];
    case 'delete':
      return [`DELETE ${one}`];
    case 'manage':
      return [`POST ${base}`, `GET ${base}`, `GET ${one}`, `PATCH ${one}`, `DELETE ${one}`];
    case 'fetch_action':
      return [`GET ${isMany ? base : one}/${kebab(verb.split(' '))}`];
    default:
      return [`POST ${one}/${kebab(verb.split(' '))}`];
  }
}

function idOf(plan: Planned, category: Category, key: string): string {
  const prefix = { DATA_MODEL: 'model', SERVICE: 'service', HTTP_API: 'api', TESTING: 'tests' }[category];
  return `${prefix}-${plan.slugs.get(key)}`;
}

/** Different also where two names differ only by letters that ids do not have. */
function slugsOf(things: ReadonlyMap<string, Thing>): Map<string, string> {
  const slugs = new Map<string, string>();
  const used = new Set<string>();
  for (const [key, { words }] of things) {
    const plain = kebab(words).slice(0, 60).replace(/-+$/, '');
    let slug = plain;
    for (let n = 2; used.has(slug); n += 1) slug = `${plain}-${n}`;
    used.add(slug);
    slugs.set(key, slug);
  }
  return slugs;
}

/** Of texts that let two things belong to each other, what is said first counts. */
function ownersOf(things: ReadonlyMap<string, Thing>): Map<string, string[]> {
  const owners = new Map<string, string[]>();
  const reaches = (from: string, to: string): boolean =>
    from === to || (owners.get(from) ?? []).some((next) => reaches(next, to));
  for (const [key, thing] of things) {
    for (const owner of thing.of) {
      if (things.has(owner) && !reaches(owner, key)) owners.set(key, [...(owners.get(key) ?? []), owner]);
    }
  }
  return owners;
}

function neededBy(plan: Planned, thing: Thing): number {
  return [...plan.things.values()].filter(({ of }) => of.includes(keyOf(thing))).length;
}

function isNamedIn(thing: Thing, key: string, plan: Planned): boolean {
  const other = plan.things.get(key);
  return thing.actions.some(({ sentence }) => other?.sentences.includes(sentence));
}

/** By the words of the task: must before should before could; what others need comes first. */
function priorityOf(thing: Thing, isNeeded: boolean): Priority {
  const text = thing.sentences.join(' ');
  if (isNeeded || /\b(?:must|required|mandatory|critical|essential)\b/i.test(text)) return 'high';
  return /\b(?:optional(?:ly)?|later|nice to have|could|eventually)\b/i.test(text) ? 'low' : 'medium';
}

function describe(thing: Thing, purpose: string): string {
  const said = thing.sentences.map(quoted).join(' ');
  return (said === '' ? purpose : `${purpose} The task says: ${said}`).slice(0, 1_000);
}

function objectOf(verb: string, thing: Thing): string {
  return verb.includes(' ') ? `as ${spoken(thing)}` : plural(spoken(thing));
}

function quoted(sentence: string): string {
  return sentence.length > mostQuoted ? `“${sentence.slice(0, mostQuoted)} …”` : `“${sentence}”`;
}

function keyOf(thing: Thing): string {
  return thing.words.join(' ');
}

function spoken(thing: Thing): string {
  return thing.words.join(' ');
}

function nameOf(key: string): string {
  return className(key.split(' '));
}

function capital(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1);
}
