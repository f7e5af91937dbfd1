// What comments of all languages have in common: what is law or meant for tools, and the text inside of the marks.

/** The beginning of a comment that tools read, or people who write the file. */
export const notForReaders =
  /^\s*(eslint|biome-|prettier-|tslint|jshint|jscs|istanbul|c8 |v8 |@ts-|#region|#endregion|TODO|FIXME|XXX|HACK|<reference|!?\s*SPDX|@license|@preserve)/i;

export const legal = /copyright|licen[sc]e|SPDX-|all rights reserved/i;

/** Tags of doc comments that have two names. */
export const tagAliases: Readonly<Record<string, string>> = {
  return: 'returns',
  arg: 'param',
  argument: 'param',
  exception: 'throws',
};

/** The text inside of a comment between slashes and stars. */
export function blockText(raw: string): string {
  return raw
    .replace(/^\/\*+!?/, '')
    .replace(/\*+\/$/, '')
    .split('\n')
    .map((line) => line.replace(/^\s*\*(?!\*) ?/, ''))
    .join('\n');
}

/** Without outer blank lines, spaces at line ends, carriage returns. */
export function clean(text: string): string {
  return text
    .replaceAll('\r', '')
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n')
    .replace(/^\n+|\s+$/g, '');
}

const listItem = /^\s*([-*+•]|\d+[.)])\s/;

/**
 * Paragraphs that are indented by `least` characters or more are code, but for lists and what belongs to them. `language`
 * is told the paragraph before.
 */
export function fenceIndented(text: string, least: number, language: (before: string) => string): string {
  // Whoever writes fences means the rest as it is.
  if (/^\s*(`{3}|~{3})\s*$/m.test(text)) return text;
  const written: string[] = [];
  let code: string[] = [];
  const flush = (): void => {
    if (code.length > 0)
      written.push(`\`\`\`${language(written.at(-1) ?? '')}\n${unindented(code.join('\n\n'))}\n\`\`\``);
    code = [];
  };
  for (const block of text.split(/\n\n+/)) {
    const isIndented = block.split('\n').every((line) => indentOf(line) >= least) && !listItem.test(block);
    if (isIndented && !listItem.test(written.at(-1) ?? '')) code.push(block);
    else {
      flush();
      written.push(block);
    }
  }
  flush();
  return written.join('\n\n');
}

/** Without the indentation that all lines share. */
export function unindented(text: string): string {
  const lines = text.split('\n');
  const indents = lines.filter((line) => line.trim() !== '').map(indentOf);
  const indent = indents.length === 0 ? 0 : Math.min(...indents);
  return clean(lines.map((line) => line.slice(indent)).join('\n'));
}

function indentOf(line: string): number {
  return line.length - line.trimStart().length;
}
