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
