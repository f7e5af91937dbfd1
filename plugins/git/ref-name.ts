// Checks names of branches and refs before git sees them (rules of git-check-ref-format).
import { z } from 'zod';

// biome-ignore lint/suspicious/noControlCharactersInRegex: git forbids exactly these in a ref.
const forbidden = /[\u0000-\u0020\u007f~^:?*[\\]|\.\.|@\{|\/\/|^[-/.]|\/\.|[/.]$|\.lock(\/|$)|^@$/;

/** A branch, tag or commit. */
export const refName = z
  .string()
  .min(1)
  .max(250)
  .refine((name) => !forbidden.test(name), 'is not a name git accepts for a branch, tag or commit');

export const branchName = refName.refine((name) => name !== 'HEAD', 'HEAD is not a branch');
