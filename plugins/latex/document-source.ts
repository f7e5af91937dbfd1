// What counts as a LaTeX document, and how one is found in what a model answers.
import { StepError } from 'cronwright/plugin';
import { z } from 'zod';

export const documentSource = z
  .string()
  .min(1)
  .max(524_288)
  .refine((text) => !text.includes('\0'), 'expected text without NUL');

/** Models put fences and courtesies around what they were told to give alone. */
export function documentIn(answer: string): string {
  const fenced = /```[a-zA-Z]*[ \t]*\r?\n([\s\S]*?)\r?\n?```/.exec(answer)?.[1] ?? answer;
  const text = fenced.replace(/\r\n/g, '\n');
  const from = text.search(/^[ \t]*\\(?:documentclass|PassOptionsTo|RequirePackage|NeedsTeXFormat)\b/m);
  if (from === -1) throw notADocument('it has no \\documentclass');
  const end = text.lastIndexOf('\\end{document}');
  const whole = end === -1 ? text.slice(from) : text.slice(from, end + '\\end{document}'.length);
  if (!whole.includes('\\begin{document}')) throw notADocument('it has no \\begin{document}');
  return `${whole.trim()}\n`;
}

/** Transient: the next answer may be one. */
function notADocument(why: string): StepError {
  return new StepError('transient', `the answer is no LaTeX document: ${why}`, { name: 'InvalidAnswer' });
}
