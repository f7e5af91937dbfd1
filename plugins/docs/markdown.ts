// Writes text into Markdown so that it is shown as it was meant: prose of comments, code, tables, headings with known anchors.
import GithubSlugger from 'github-slugger';

/**
 * Prose of a comment as Markdown blocks. Code spans, fenced code, lists and web addresses keep their meaning;
 * every other character that Markdown or HTML would take for itself is escaped.
 */
export function prose(text: string): string {
  return splitFences(text)
    .map((part) => (part.kind === 'code' ? fence(part.text, part.language) : paragraphs(part.text)))
    .filter((block) => block !== '')
    .join('\n\n');
}

/** One line of prose for a cell of a table. */
export function cell(text: string): string {
  return inline(text.replace(/\s+/g, ' ').trim(), true);
}

/** One line of prose, for headings and the like. */
export function line(text: string): string {
  return escapeLineStart(inline(text.replace(/\s+/g, ' ').trim(), false));
}

/** A code span whatever is in it; in a table, with `|` escaped, which tables read even inside of code. */
export function code(text: string, inTable = false): string {
  const flat = text.replace(/\s+/g, ' ').trim();
  const ticks = '`'.repeat(longestRun(flat, '`') + 1);
  const pad = flat.startsWith('`') || flat.endsWith('`') ? ' ' : '';
  const span = `${ticks}${pad}${flat}${pad}${ticks}`;
  if (!inTable || !flat.includes('|')) return span;
  // A backslash before the bar cannot be told from the escape of the bar: such code goes in as characters by number.
  if (flat.includes('\\')) return `<code>${flat.replace(/[^\p{L}\p{N} ]/gu, (c) => `&#${c.codePointAt(0)};`)}</code>`;
  return span.replaceAll('|', '\\|');
}

/** A fenced block that nothing in the text can end. */
export function fence(text: string, language: string): string {
  const ticks = '`'.repeat(Math.max(3, longestRun(text, '`') + 1));
  return `${ticks}${language.replace(/[^\w+#.-]/g, '')}\n${text}\n${ticks}`;
}

/** A relative address for a link; every name of the path encoded. */
export function address(path: string): string {
  return path
    .split('/')
    .map((name) =>
      encodeURIComponent(name).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`),
    )
    .join('/');
}

/** Gives headings the anchors that GitHub, GitLab and most viewers give them; call it in the order of the page. */
export function createAnchors(): (heading: string) => string {
  const slugger = new GithubSlugger();
  return (heading) => slugger.slug(heading);
}

/** The first sentence of a comment, as plain text in one line; of a comment that starts with code, nothing. */
export function firstSentence(text: string): string {
  const [first] = splitFences(text);
  if (first === undefined || first.kind === 'code') return '';
  const paragraph = (first.text.trim().split(/\n\s*\n/)[0] ?? '').replace(/\s+/g, ' ').trim();
  const ends = paragraph.matchAll(/[.!?][)"'’”]?(?=\s|$)/g);
  for (const end of ends) {
    const sentence = paragraph.slice(0, end.index + end[0].length);
    const inCode = (sentence.match(/`/g) ?? []).length % 2 === 1;
    if (!inCode && !/(^|[\s(])(e\.g|i\.e|etc|vs|cf|no|approx|resp|incl)\.$/i.test(sentence)) return sentence;
  }
  return paragraph;
}

interface Part {
  kind: 'code' | 'text';
  language: string;
  text: string;
}

function splitFences(text: string): Part[] {
  const parts: Part[] = [];
  let current: Part = { kind: 'text', language: '', text: '' };
  let open: { marker: string; indent: number } | undefined;
  const push = (next: Part): void => {
    if (current.kind === 'code' || current.text.trim() !== '') parts.push(current);
    current = next;
  };
  for (const row of text.split('\n')) {
    const mark = /^(\s*)(`{3,}|~{3,})\s*([^\s`{]*)/.exec(row);
    const [, indent = '', marker = '', language = ''] = mark ?? [];
    if (open === undefined && mark !== null) {
      push({ kind: 'code', language, text: '' });
      open = { marker, indent: indent.length };
    } else if (open !== undefined && marker.startsWith(open.marker) && language === '') {
      push({ kind: 'text', language: '', text: '' });
      open = undefined;
    } else {
      const content = open === undefined ? row : row.slice(Math.min(open.indent, row.length - row.trimStart().length));
      current.text += current.text === '' ? content : `\n${content}`;
    }
  }
  push({ kind: 'text', language: '', text: '' });
  return parts;
}

function paragraphs(text: string): string {
  return text
    .replace(/^\s*\n|\s+$/g, '')
    .split(/\n\s*\n/)
    .map((paragraph) => segments(paragraph).map(segment).join('\n'))
    .filter((paragraph) => paragraph !== '')
    .join('\n\n');
}

const listMark = /^(\s*)([-*]|\d{1,9}[.)])\s+(?=\S)/;

/** A paragraph cut where list items begin. */
function segments(paragraph: string): string[] {
  const found: string[] = [];
  for (const row of paragraph.split('\n')) {
    const last = found.at(-1);
    if (last === undefined || listMark.test(row)) found.push(row);
    else found[found.length - 1] = `${last}\n${row}`;
  }
  return found.filter((row) => row.trim() !== '');
}

function segment(text: string): string {
  const [whole = '', indent = '', mark = ''] = listMark.exec(text) ?? [];
  const bullet = mark === '' ? '' : `${mark === '*' ? '-' : mark} `;
  const outer = bullet !== '' && indent.length >= 2 ? '  ' : '';
  const rows = inline(text.slice(whole.length), false)
    .split('\n')
    .map((row) => escapeLineStart(row.trim()));
  return rows.map((row, at) => outer + (at === 0 ? bullet : ' '.repeat(bullet.length)) + row).join('\n');
}

const special =
  /(?<code>(?<ticks>`+)(?!`)(?<content>[\s\S]*?[^`])\k<ticks>(?!`))|(?<link>\{@(?:link|linkcode|linkplain)\s+(?<target>[^\s|}]+)\s*\|?\s*(?<label>[^}]*)\})|(?<url>https?:\/\/[^\s<>`|\\{}[\]"']+)/g;

function inline(text: string, inTable: boolean): string {
  let result = '';
  let at = 0;
  for (const match of text.matchAll(special)) {
    result += escapeText(text.slice(at, match.index));
    at = match.index + match[0].length;
    const groups = match.groups ?? {};
    if (groups.content !== undefined) result += code(groups.content, inTable);
    else if (groups.target !== undefined) result += linkText(groups.target, groups.label ?? '', inTable);
    else if (groups.url !== undefined) {
      // The full stop behind an address is the sentence's.
      const url = groups.url.replace(/[.,;:!?)]+$/, '');
      result += `<${url}>${escapeText(groups.url.slice(url.length))}`;
    }
  }
  return result + escapeText(text.slice(at));
}

function linkText(target: string, label: string, inTable: boolean): string {
  if (!/^https?:\/\/[^\s<>]+$/.test(target))
    return label.trim() === '' ? code(target, inTable) : escapeText(label.trim());
  return label.trim() === '' ? `<${target}>` : `[${escapeText(label.trim())}](<${target}>)`;
}

function escapeText(text: string): string {
  return text
    .replace(/[\\`*[\]~$|]/g, '\\$&')
    .replace(/(?<![\p{L}\p{N}])_|_(?![\p{L}\p{N}])/gu, '\\_')
    .replace(/&(?=#?\w+;)/g, '&amp;')
    .replace(/(www)\.(?=\S)/gi, '$1\\.')
    .replaceAll('<', '&lt;');
}

/** What means something only at the start of a line: headings, quotes, rules, lists, underlined headings. */
function escapeLineStart(text: string): string {
  return text
    .replace(/^(#{1,6})(?=\s|$)/, '\\$1')
    .replace(/^>/, '\\>')
    .replace(/^([+=-]|:(?=-))/, '\\$1')
    .replace(/^(\d{1,9})([.)])(?=\s|$)/, '$1\\$2');
}

function longestRun(text: string, character: string): number {
  let longest = 0;
  let run = 0;
  for (const each of text) {
    run = each === character ? run + 1 : 0;
    longest = Math.max(longest, run);
  }
  return longest;
}
