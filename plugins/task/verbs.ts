// Verbs of tasks: what each asks of an HTTP API, and the forms in which texts hold them.

/** How a verb meets a resource: a collection, one of it, or an action of its own. */
export type Access = 'create' | 'list' | 'read' | 'update' | 'delete' | 'manage' | 'fetch_action' | 'action' | 'build';

const words: Readonly<Record<Access, string>> = {
  create:
    'create add register place book reserve submit post write upload invite issue record open request order import insert enter',
  list: 'list browse search find filter sort query',
  read: 'view show see read get display track monitor inspect look',
  update: 'update edit change rename modify adjust set correct',
  delete: 'delete remove',
  manage: 'manage maintain administer',
  fetch_action: 'export download print',
  action: `cancel approve reject send pay refund archive publish rate share assign calculate generate validate notify complete close
    reopen return ship schedule comment review vote tag follow like subscribe unsubscribe activate deactivate lock unlock confirm
    start stop pause resume retry sync convert compute merge split transfer move copy restore accept decline check verify mark
    sign report reply answer remind deliver escalate log store count rank recommend favorite bookmark borrow lend renew`,
  build: 'build implement develop design provide support allow enable introduce',
};

export const accessOf: ReadonlyMap<string, Access> = new Map(
  (Object.keys(words) as Access[]).flatMap((access) =>
    words[access].split(/\s+/).map((verb) => [verb, access] as const),
  ),
);

/** Also nouns: verbs only where a text expects one. */
const alsoNouns = new Set(
  `book order record request post comment review rate share report reply answer vote tag schedule list filter search query view look
  track log import export download print upload issue display change update support design check copy return transfer move like mark
  set start stop pause retry count rank convert bookmark favorite split ship open`.split(/\s+/),
);

export interface VerbForm {
  verb: string;
  form: 'base' | 's' | 'ing' | 'ed';
  isAlsoNoun: boolean;
}

export function verbFormsOf(word: string): VerbForm | undefined {
  return forms.get(word);
}

const pasts: Readonly<Record<string, string>> = {
  send: 'sent',
  pay: 'paid',
  write: 'written',
  find: 'found',
  get: 'got',
  see: 'seen',
  show: 'shown',
  set: 'set',
  split: 'split',
  build: 'built',
  lend: 'lent',
};

const forms = new Map<string, VerbForm>();
for (const verb of accessOf.keys()) {
  const isAlsoNoun = alsoNouns.has(verb);
  forms.set(verb, { verb, form: 'base', isAlsoNoun });
  for (const [word, form] of inflect(verb)) {
    if (!forms.has(word) && !(form === 's' && isAlsoNoun)) forms.set(word, { verb, form, isAlsoNoun });
  }
}

function inflect(verb: string): [string, VerbForm['form']][] {
  const stem = verb.endsWith('e') ? verb.slice(0, -1) : verb;
  const isDoubled = /^(?:cancel|stop|ship|tag|get|set|log|submit|split)$/.test(verb);
  const doubled = isDoubled ? `${verb}${verb.at(-1)}` : stem;
  const past = pasts[verb] ?? (/[^aeiou]y$/.test(verb) ? `${verb.slice(0, -1)}ied` : `${doubled}ed`);
  const third = /[^aeiou]y$/.test(verb)
    ? `${verb.slice(0, -1)}ies`
    : /(?:s|sh|ch|x)$/.test(verb)
      ? `${verb}es`
      : `${verb}s`;
  const spellings: [string, VerbForm['form']][] = [
    [third, 's'],
    [`${doubled}ing`, 'ing'],
    [past, 'ed'],
  ];
  if (verb === 'cancel') spellings.push(['canceled', 'ed'], ['canceling', 'ing']);
  return spellings;
}
