// Cuts declarations out of a source as readers want to see them: at the margin, without line ends of other systems, not endless.

const maxLines = 80;
const maxLength = 4_000;

/** From `start` to `end`, without the indentation that its first line has in the source: nested declarations start at the margin. */
export function dedented(source: string, start: number, end: number): string {
  const lineStart = source.lastIndexOf('\n', start - 1) + 1;
  const indent = /^[ \t]*/.exec(source.slice(lineStart, start))?.[0] ?? '';
  const lines = source.slice(start, end).trim().replaceAll('\r', '').split('\n');
  return lines
    .map((line, at) => (at > 0 && line.startsWith(indent) ? line.slice(indent.length) : line).trimEnd())
    .join('\n')
    .replace(/;$/, '');
}

/** Says in a comment of the language where something had to be cut. */
export function bounded(text: string, commentMark = '//'): string {
  const lines = text.split('\n');
  const short = lines.slice(0, maxLines).join('\n').slice(0, maxLength);
  if (short.length === text.length) return text;
  return `${short}\n${commentMark} … shortened: ${lines.length} lines in all`;
}

/** How many lines a text has; a line end at its end starts none. */
export function lineCount(text: string): number {
  return text === '' ? 0 : text.split('\n').length - (text.endsWith('\n') ? 1 : 0);
}
