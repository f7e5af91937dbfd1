// Finds verbs and noun phrases among the words of a sentence.
import { adjectives, determiners, genericNouns, isPlural, pronouns, singular, stopWords } from './nouns.ts';
import type { Token } from './sentences.ts';
import { type Access, accessOf, verbFormsOf } from './verbs.ts';

/** Words of a noun phrase in the singular: `recipe ingredient`. */
export type Words = readonly string[];

export interface Phrase {
  words: Words;
  isMany: boolean;
  /** Index after its last token. */
  end: number;
}

const modals = new Set('can could may might must shall should will would to not cannot and or then also'.split(' '));

export function verbAt(
  tokens: readonly Token[],
  at: number,
  isOpen: boolean,
): { verb: string; access: Access } | undefined {
  const token = tokens[at];
  const form = token?.isWord ? verbFormsOf(token.text) : undefined;
  const access = form && accessOf.get(form.verb);
  if (!form || access === undefined || form.form === 'ed') return undefined;
  const [before, after] = [tokens[at - 1], tokens[at + 1]];
  const isStart = before === undefined || !before.isWord;
  // "Guests search rooms": who acts stands right before, and begins the sentence.
  const isAfterActor = at === 1 && isPlural(before?.text ?? '') && opensPhrase(after);
  if (form.form === 'base' && isAfterActor) return { verb: form.verb, access };
  const isExpected = isStart || modals.has(before.text);
  const told = { verb: form.verb, access };
  if (form.form === 'ing') return isExpected && opensPhrase(after) ? told : undefined;
  if (form.form === 's') return !isStart && !determiners.has(before.text) && opensPhrase(after) ? told : undefined;
  if (!form.isAlsoNoun) return before && determiners.has(before.text) ? undefined : told;
  if (!isExpected) return undefined;
  if (before && /^(?:can|could|may|might|must|shall|should|will|would|to|not|cannot)$/.test(before.text)) return told;
  // "and comment on them", but not "with a title and comment".
  return isOpen || opensPhrase(after) || actsOnSelf(tokens, at) ? told : undefined;
}

function opensPhrase(token: Token | undefined): boolean {
  if (!token?.isWord) return false;
  if (determiners.has(token.text) || pronouns.has(token.text) || adjectives.has(token.text)) return true;
  return token.text === 'on' || (!stopWords.has(token.text) && isPlural(token.text));
}

/** What a verb is about: one phrase, or several joined by commas and `and`; a pronoun is what was spoken of before. */
export function objectsAfter(tokens: readonly Token[], from: number, last: Phrase | undefined): Phrase[] {
  const first = tokens[from]?.text ?? '';
  const at = /^(?:on|for|up|out|in|through|at)$/.test(first) ? from + 1 : from;
  const next = tokens[at]?.text ?? '';
  if (pronouns.has(next) && !phraseAt(tokens, at + 1)) return last ? [{ ...last, end: at + 1 }] : [];
  if (pronouns.has(next) && !determiners.has(next)) return last ? [{ ...last, end: at + 1 }] : [];
  return listAt(tokens, at);
}

export function listAt(tokens: readonly Token[], from: number, isOfFields = false): Phrase[] {
  const phrases: Phrase[] = [];
  let at = from;
  for (;;) {
    const phrase = phraseAt(tokens, at, isOfFields);
    if (!phrase) return phrases;
    phrases.push(phrase);
    at = phrase.end;
    // "a price per night, a date of birth"
    if (isOfFields && /^(?:per|of)$/.test(tokens[at]?.text ?? '')) at = phraseAt(tokens, at + 1, true)?.end ?? at;
    while (/^(?:,|and|or|as|well|also)$/.test(tokens[at]?.text ?? '')) at += 1;
    if (!/^(?:,|and|or)$/.test(tokens[at - 1]?.text ?? '') || verbAt(tokens, at, false) !== undefined) return phrases;
    // "orders, and customers can …" begins anew.
    const other = phraseAt(tokens, at);
    if (other && /^(?:can|may|must|should|will|is|are|has|have)$/.test(tokens[other.end]?.text ?? '')) return phrases;
  }
}

export function phraseAt(tokens: readonly Token[], from: number, isField = false): Phrase | undefined {
  let at = from;
  // A due date is a field, an overdue invoice is an invoice.
  const isPassedOver = (word: string) =>
    determiners.has(word) || (isField ? /^(?:several|multiple|optional)$/.test(word) : adjectives.has(word));
  while (tokens[at]?.isWord && isPassedOver(tokens[at]?.text ?? '')) at += 1;
  const nouns: string[] = [];
  for (; at < tokens.length; at += 1) {
    const token = tokens[at];
    if (!token?.isWord || stopWords.has(token.text) || (nouns.length > 0 && determiners.has(token.text))) break;
    const form = verbFormsOf(token.text);
    if (form && !form.isAlsoNoun && form.form !== 'ed') break;
    if (isField || !isFiller(token.text)) nouns.push(token.text);
  }
  return toPhrase(nouns, at, isField);
}

/** The noun phrase that ends right before a token. */
export function phraseBefore(tokens: readonly Token[], end: number): Phrase | undefined {
  const nouns: string[] = [];
  for (let at = end - 1; at >= 0; at -= 1) {
    const token = tokens[at];
    if (!token?.isWord || stopWords.has(token.text) || determiners.has(token.text)) break;
    const form = verbFormsOf(token.text);
    if (form && !form.isAlsoNoun) break;
    if (!isFiller(token.text)) nouns.unshift(token.text);
  }
  return toPhrase(nouns, end, false);
}

/** "Users register", "members log in": what is acted on is who acts. */
export function actsOnSelf(tokens: readonly Token[], at: number): boolean {
  const [text, next] = [tokens[at]?.text ?? '', tokens[at + 1]];
  if (/^(?:log|sign)(?:s|ging|ing)?$/.test(text)) return /^(?:in|out|up)$/.test(next?.text ?? '');
  return /^(?:registers?|registering)$/.test(text) && !phraseAt(tokens, at + 1);
}

/** "… must never be booked", but not "… should be able to book". */
export function isPassiveAt(tokens: readonly Token[], from: number): boolean {
  let at = from;
  while (/^(?:not|never|only|always|also)$/.test(tokens[at]?.text ?? '')) at += 1;
  return tokens[at]?.text === 'be' && tokens[at + 1]?.text !== 'able';
}

/** Words in -ing that are things. */
const ingNouns = new Set('booking meeting listing building recording training posting offering'.split(' '));

function isFiller(word: string): boolean {
  return (
    adjectives.has(word) ||
    verbFormsOf(word)?.form === 'ed' ||
    /^\d/.test(word) ||
    (/(?:ly|ing)$/.test(word) && !ingNouns.has(word)) ||
    pronouns.has(word)
  );
}

function toPhrase(nouns: readonly string[], end: number, isField: boolean): Phrase | undefined {
  const own = nouns.filter((word) => isField || !genericNouns.has(word)).slice(-2);
  const last = own.at(-1);
  if (last === undefined || last.length < 2) return undefined;
  return { words: [...own.slice(0, -1), singular(last)], isMany: isPlural(last), end };
}
