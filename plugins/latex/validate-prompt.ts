// Step latex.validate_prompt: refuses what is no request for a document before anything is spent on it.
import { createHash } from 'node:crypto';
import { defineStep, StepError } from 'cronwright/plugin';
import { z } from 'zod';

const input = z.strictObject({
  prompt: z.string().max(1_000_000),
  max_length: z.int().min(1).max(100_000).default(4_000).describe('Characters.'),
});

const output = z.object({
  prompt: z.string().describe('Without space around it.'),
  words: z.int(),
  sha256: z.string(),
});

export const validatePrompt = defineStep({
  description: 'Checks the prompt of a document: not empty, not too long, no control characters.',
  input,
  output,
  effects: 'none',
  idempotency: 'natural',
  isolation: 'inline',
  weight: 'light',
  run(_ctx, given) {
    const prompt = given.prompt.replace(/\r\n/g, '\n').trim();
    const problem = whatIsWrong(prompt, given.max_length);
    if (problem !== undefined) throw new StepError('fatal', `the prompt ${problem}`, { name: 'InvalidPrompt' });
    const sha256 = createHash('sha256').update(prompt).digest('hex');
    return { prompt, words: prompt.split(/\s+/).length, sha256 };
  },
});

function whatIsWrong(prompt: string, most: number): string | undefined {
  if (prompt === '') return 'is empty, expected what the document is to be';
  if (prompt.length > most) return `has ${prompt.length} characters, allowed are ${most} (max_length)`;
  const at = [...prompt].findIndex((character) => isControl(character.codePointAt(0) ?? 0));
  if (at === -1) return /[\p{L}\p{N}]/u.test(prompt) ? undefined : 'has no letter and no digit';
  const code = ([...prompt][at]?.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0');
  return `has the control character U+${code} as its character ${at + 1}`;
}

/** Tab and line feed are space; the others, and those that turn the direction of text, hide what is said. */
function isControl(code: number): boolean {
  if (code === 9 || code === 10) return false;
  return (
    code < 32 || (code >= 127 && code < 160) || (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069)
  );
}
