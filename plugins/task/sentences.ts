// Takes a text apart: sentences and lines of lists, and each into words and marks.

export interface Token {
  /** In lower case. */
  text: string;
  isWord: boolean;
}

/** Sentences and list items, without their marks; addresses and version numbers are not taken apart. */
export function sentencesOf(text: string): string[] {
  return text
    .replace(/[^\S\n]+/g, ' ')
    .replace(/\n\s*\n/g, '\n\n')
    .split(
      /\r?\n\s*(?:[-*+•]|\d+[.)])\s+|\r?\n\s*\r?\n|^\s*#+\s+|(?<=[.!?;])\s+(?=[\p{Lu}\d"'([/-])|\r?\n(?=\s*\p{Lu})/mu,
    )
    .map((part) =>
      part
        .replace(/^\s*(?:[-*+•]|\d+[.)])\s+/, '')
        .replace(/\s+/g, ' ')
        .trim(),
    )
    .map((part) => part.replace(/[.;!]+$/, '').trim())
    .filter((part) => /\p{L}/u.test(part));
}

/** Longer words are none. */
const mostLetters = 40;

export function tokensOf(sentence: string): Token[] {
  const found = sentence
    .toLowerCase()
    .replace(/\b(?:one|zero) or more\b/g, 'several')
    .matchAll(/[\p{L}\d][\p{L}\d'’_-]*|[,:;()/]/gu);
  return [...found].map(([text]) => {
    const word = text.slice(0, mostLetters).replace(/['’]s?$/, '');
    return { text: word, isWord: /[\p{L}\d]/u.test(text) };
  });
}
