// What the words of a prompt say without a model: topics, how many, how hard, what it is called.
import { type Topic, topics } from './exercises.ts';

export type Difficulty = 'easy' | 'medium' | 'hard';

const topicWords: Readonly<Record<Topic, RegExp>> = {
  addition: /\b(additions?|adding|add|sums?|plus)\b/i,
  subtraction: /\b(subtractions?|subtracting|subtract|minus|differences?)\b/i,
  multiplication: /\b(multiplications?|multiplying|multiply|times tables?|products?)\b/i,
  division: /\b(divisions?|dividing|divide|quotients?)\b/i,
  fractions: /\bfractions?\b/i,
  percentages: /\b(percentages?|percents?)\b|\d\s*%/i,
  equations: /\b(equations?|algebra|solve for)\b/i,
};

const anyMath = /\b(math|maths|mathematics|mathematical|arithmetic|calculations?)\b/i;
const basic: readonly Topic[] = ['addition', 'subtraction', 'multiplication', 'division'];

/** Those that are named; all four of arithmetic where only mathematics as such is. */
export function topicsOf(prompt: string): readonly Topic[] {
  const named = topics.filter((topic) => topicWords[topic].test(prompt));
  if (named.length > 0) return named;
  return anyMath.test(prompt) ? basic : [];
}

/** Of `20 exercises`; the last one that is said counts. */
export function countOf(prompt: string): number | undefined {
  const counts = [
    ...prompt.matchAll(/\b(\d{1,3})\s+(?:\w+\s+){0,2}?(?:exercises?|problems?|questions?|tasks?|items?)\b/gi),
  ];
  const last = Number(counts.at(-1)?.[1] ?? 0);
  return last > 0 ? last : undefined;
}

export function wantsLess(prompt: string): boolean {
  return /\b(minimal|minimalistic|minimalist|shorter|short|fewer|less|simpler|smaller|reduced?)\b/i.test(prompt);
}

export function levelOf(prompt: string): Difficulty {
  const grade = Number(
    /\bgrade\s+(\d{1,2})\b|\b(\d{1,2})(?:st|nd|rd|th)\s+grade/i.exec(prompt)?.slice(1).find(Boolean) ?? 0,
  );
  if (/\b(hard|harder|difficult|advanced|challenging)\b/i.test(prompt) || grade >= 6) return 'hard';
  if (/\b(easy|easier|simple|beginners?|basic)\b/i.test(prompt) || (grade > 0 && grade <= 2)) return 'easy';
  return 'medium';
}

export function hasWord(prompt: string, pattern: RegExp): boolean {
  return pattern.test(prompt);
}

/** The first sentence without its command: `Create a math worksheet.` is called `Math worksheet`. */
export function titleOf(prompt: string): string {
  const first = prompt.split(/\n|[.!?](?:\s|$)/)[0] ?? prompt;
  const bare = first
    .replace(/^\s*(?:please\s+)?(?:create|make|write|generate|produce|prepare|design|give me|i need|i want)\s+/i, '')
    .replace(/^(?:me\s+)?(?:an?|the|some)\s+/i, '')
    .replace(/\s+/g, ' ')
    .trim();
  const title = bare === '' ? first.trim() : bare;
  const short = title.length <= 100 ? title : `${title.slice(0, 99).trimEnd()}…`;
  return short === '' ? 'Document' : short[0]?.toUpperCase() + short.slice(1);
}
