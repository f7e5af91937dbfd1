// Reads docstrings: indentation as the language takes it off, parameters and results as Google, NumPy and Sphinx write them.
import { clean, fenceIndented, unindented } from './comment-text.ts';
import type { SymbolTag } from './module.ts';

export interface DocText {
  comment: string;
  tags: SymbolTag[];
}

const tagOfSection: Readonly<Record<string, string>> = {
  args: 'param',
  arguments: 'param',
  parameters: 'param',
  params: 'param',
  'other parameters': 'param',
  'keyword args': 'param',
  'keyword arguments': 'param',
  raises: 'throws',
  returns: 'returns',
  return: 'returns',
  example: 'example',
  examples: 'example',
  'see also': 'see',
  deprecated: 'deprecated',
};
const otherSections = /^(yields?|attributes|notes?|warnings?|warns|todo|references)$/i;

/** Takes off the indentation that all lines but the first share. */
export function readDocstring(raw: string): DocText {
  const [first = '', ...rest] = raw.replaceAll('\t', '        ').split('\n');
  const indents = rest.filter((line) => line.trim() !== '').map((line) => line.length - line.trimStart().length);
  const indent = indents.length === 0 ? 0 : Math.min(...indents);
  const lines = clean([first.trim(), ...rest.map((line) => line.slice(indent))].join('\n')).split('\n');
  const { prose, sections } = cutSections(lines);
  const { text, tags } = sphinxFields(prose);
  return { comment: fenceCode(text), tags: [...tags, ...sections.flatMap(tagsOf)] };
}

interface Section {
  title: string;
  lines: string[];
}

/** `Args:` with indented lines below, or `Parameters` underlined. */
function cutSections(lines: readonly string[]): { prose: string[]; sections: Section[] } {
  const prose: string[] = [];
  const sections: Section[] = [];
  let open: { section: Section; isUnderlined: boolean } | undefined;
  for (let at = 0; at < lines.length; at += 1) {
    const line = lines[at] ?? '';
    const title = isTitle(line.replace(/:$/, '')) ? line.replace(/:$/, '') : undefined;
    const isUnderlined = title === line && /^-{3,}$/.test(lines[at + 1] ?? '');
    if (title !== undefined && (isUnderlined || (line.endsWith(':') && /^(\s+\S|$)/.test(lines[at + 1] ?? '')))) {
      open = { section: { title, lines: [] }, isUnderlined };
      sections.push(open.section);
      if (isUnderlined) at += 1;
    } else if (open !== undefined && (open.isUnderlined || /^(\s|$)/.test(line))) open.section.lines.push(line);
    else {
      open = undefined;
      prose.push(line);
    }
  }
  return { prose, sections };
}

function isTitle(text: string): boolean {
  return text.toLowerCase() in tagOfSection || otherSections.test(text);
}

function tagsOf({ title, lines }: Section): SymbolTag[] {
  const tag = tagOfSection[title.toLowerCase()];
  const text = unindented(lines.join('\n'));
  if (tag === 'param' || tag === 'throws') return items(text).map((item) => ({ tag, ...item }));
  if (tag === undefined) return [{ tag: 'section', name: title, text: fenceCode(text) }];
  // A type alone in a line is NumPy's way to say what comes back.
  return [
    { tag, name: '', text: fenceSessions(tag === 'returns' ? text.replace(/^(\S[^\n.]*)\n {2,}/, '`$1`: ') : text) },
  ];
}

/** `name (type): text`, or `name : type` with the text below it; more lines belong to the item above. */
function items(text: string): { name: string; text: string }[] {
  const found: { name: string; text: string }[] = [];
  for (const line of text.split('\n')) {
    const head = /^(\*{0,2}[\w.]+(?:, \*{0,2}\w+)*)\s*(?:\([^)]*\)\s*)?(?::\s*(.*))?$/.exec(line);
    const last = found.at(-1);
    if (head !== null) {
      const [, name = '', said = ''] = head;
      // NumPy's type: the text is in the lines below.
      const isType = new RegExp(`^${name.replaceAll('*', '\\*')} : `).test(line);
      found.push({ name, text: isType ? '' : said });
    } else if (last !== undefined) last.text = clean(`${last.text}\n${line.trim()}`);
  }
  return found.map(({ name, text: said }) => ({ name, text: said.trim() }));
}

/** `:param name: text` and its like; indented lines go on. */
function sphinxFields(lines: readonly string[]): { text: string; tags: SymbolTag[] } {
  const tags: SymbolTag[] = [];
  const prose: string[] = [];
  let open: SymbolTag | undefined;
  for (const line of lines) {
    const field = /^:(param|parameter|arg|key|keyword|returns?|raises?|except|rtype|type)(?:\s+([^:]*))?:\s*(.*)$/.exec(
      line,
    );
    if (field !== null) {
      const [, word = '', name = '', text = ''] = field;
      const tag = /^ret/.test(word) ? 'returns' : /^(rai|exc)/.test(word) ? 'throws' : 'param';
      open = { tag, name: name.split(' ').at(-1) ?? '', text };
      // Types stand in the signature.
      if (!/type$/.test(word)) tags.push(open);
    } else if (open !== undefined && /^\s+\S/.test(line)) open.text += `\n${line.trim()}`;
    else {
      open = undefined;
      prose.push(line);
    }
  }
  return { text: clean(prose.join('\n')), tags };
}

/** Sessions, and indented paragraphs; `::` says that one follows, and that it is code of the language. */
function fenceCode(text: string): string {
  const isPython = (before: string): boolean => /::\s*$/.test(before);
  const fenced = fenceIndented(text, 3, (before) => (isPython(before) ? 'python' : ''));
  return fenceSessions(fenced.replace(/::(?=\n\n```)/g, ':'));
}

/** `>>>` and what follows it up to an empty line is code; roles such as :class:`X` are the name alone. */
function fenceSessions(text: string): string {
  const plain = text
    .replace(/:(?:[a-z]+:)?[a-z]+:`~?([^`<]+?)(?:\s*<[^>`]*>)?`/g, '`$1`')
    .replace(/``([^`\n]+)``/g, '`$1`');
  const lines: string[] = [];
  let indent: number | undefined;
  let isFenced = false;
  for (const line of [...plain.split('\n'), '']) {
    if (/^\s*```/.test(line)) isFenced = !isFenced;
    if (!isFenced && indent === undefined && /^\s*>>> /.test(line)) {
      indent = line.length - line.trimStart().length;
      lines.push('```python');
    } else if (indent !== undefined && line.trim() === '') {
      indent = undefined;
      lines.push('```');
    }
    lines.push(line.slice(indent ?? 0));
  }
  return clean(lines.join('\n'));
}
