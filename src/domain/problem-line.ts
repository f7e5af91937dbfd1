// Says what is wrong with an input on one line, everywhere in the same words.
import type { Problem } from './errors.ts';

/** `file:line:column: path: message (got …, expected …)`; what is not known is left out. */
export function problemLine(problem: Problem): string {
  const place = [problem.file, problem.line, problem.column].filter((part) => part !== undefined).join(':');
  const facts = [
    ...(problem.got === undefined ? [] : [`got ${problem.got}`]),
    ...(problem.expected === undefined ? [] : [`expected ${problem.expected}`]),
  ];
  const where = [place, problem.path].filter((part) => part !== undefined && part !== '');
  return [...where, problem.message].join(': ') + (facts.length > 0 ? ` (${facts.join(', ')})` : '');
}
