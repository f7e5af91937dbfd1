// What documents must know of a language: its name, its fence, the words its people use, how code comments look in it.
import type { Module } from './analysis.ts';

export interface LanguageWords {
  name: string;
  /** Behind the ticks of a fence. */
  fence: string;
  /** Heading over what others may use. */
  contents: string;
  /** One thing that others may use. */
  offered: string;
  /** What an error is to its callers. */
  throws: string;
  /** Between a type and its member. */
  separator: string;
  indent: string;
  comment(text: string): string[];
}

const slashStar = (text: string): string[] => {
  const lines = text.replaceAll('*/', '*\u200b/').split('\n');
  if (lines.length === 1) return [`/** ${lines[0] ?? ''} */`];
  return ['/**', ...lines.map((each) => ` * ${each}`.trimEnd()), ' */'];
};
const marked =
  (mark: string) =>
  (text: string): string[] =>
    text.split('\n').map((line) => `${mark} ${line}`.trimEnd());

const script = {
  contents: 'Exports',
  offered: 'export',
  throws: 'Throws',
  separator: '.',
  indent: '  ',
  comment: slashStar,
};
const other = { contents: 'Contents', offered: 'public symbol', throws: 'Throws', separator: '.', indent: '    ' };

export const languageWords: Readonly<Record<Module['language'], LanguageWords>> = {
  typescript: { ...script, name: 'TypeScript', fence: 'ts' },
  javascript: { ...script, name: 'JavaScript', fence: 'js' },
  python: { ...other, name: 'Python', fence: 'python', throws: 'Raises', comment: marked('#') },
  go: { ...other, name: 'Go', fence: 'go', offered: 'exported symbol', comment: marked('//') },
  rust: { ...other, name: 'Rust', fence: 'rust', offered: 'public item', separator: '::', comment: marked('///') },
  java: { ...other, name: 'Java', fence: 'java', comment: slashStar },
};

export function counted(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? '' : 's'}`;
}
