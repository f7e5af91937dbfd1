// Reads a Javadoc comment: its tags, and its HTML as the plain text that documents are written from.
import { blockText, clean, tagAliases } from './comment-text.ts';
import type { SymbolTag } from './module.ts';

const named = new Set(['param', 'throws']);
const silent = new Set(['author', 'version', 'since', 'serial', 'hidden']);
const entities: Readonly<Record<string, string>> = {
  lt: '<',
  gt: '>',
  amp: '&',
  quot: '"',
  apos: "'",
  nbsp: ' ',
  copy: '©',
  '#64': '@',
  '#39': "'",
};

/** `raw`: with its slashes and stars; empty where there is no comment. */
export function readJavadoc(raw: string): { comment: string; tags: SymbolTag[] } {
  const [prose = '', ...blocks] = clean(blockText(raw)).split(/^\s*(?=@[a-zA-Z])/m);
  const tags = blocks.flatMap((block): SymbolTag[] => {
    const [, word = '', rest = ''] = /^@(\w+)\s*([\s\S]*)$/.exec(block.trim()) ?? [];
    const tag = tagAliases[word] ?? word;
    const said = /<pre>/i.test(rest) ? rest : rest.replace(/\n[ \t]+/g, '\n');
    if (silent.has(tag)) return [];
    if (!named.has(tag)) return [{ tag, name: '', text: plain(said) }];
    const [, name = '', text = ''] = /^(<\w+>|\S+)\s*([\s\S]*)$/.exec(said) ?? [];
    return [{ tag, name, text: plain(text) }];
  });
  return { comment: plain(prose), tags };
}

function plain(html: string): string {
  const text = inlineTags(html)
    .replace(
      /<pre>\s*(?:<code>)?([\s\S]*?)(?:<\/code>)?\s*<\/pre>/gi,
      (_all, code: string) =>
        `\n\n\`\`\`java\n${entityText(code.replace(/^`|`$/g, '').replace(/^\n+|\s+$/g, ''))}\n\`\`\`\n\n`,
    )
    .replace(
      /<a\s+href="(https?:[^"]*)"[^>]*>([\s\S]*?)<\/a>/gi,
      (_all, url: string, label: string) => `{@link ${url}|${label.replace(/\s+/g, ' ')}}`,
    )
    .replace(/<(code|tt)>([\s\S]*?)<\/\1>/gi, (_all, _tag, code: string) => `\`${entityText(code)}\``)
    .replace(/\s*<p\s*\/?>\s*/gi, '\n\n')
    .replace(/\s*<li>\s*/gi, '\n- ')
    .replace(/\s*<br\s*\/?>\s*/gi, '\n')
    .replace(/\s*<\/?(ul|ol|dl|h[1-6]|div|table|blockquote)\b[^>]*>\s*/gi, '\n\n')
    .replace(/<\/?(b|i|em|strong|p|li|a|span|sup|sub|small|tt|code|u|dt|dd|tr|td|th|tbody|thead)\b[^>]*>/gi, '');
  return clean(outsideCode(text, entityText).replace(/\n{3,}/g, '\n\n')).trimStart();
}

/** `{@code x}`, `{@literal x}`, `{@link Type#member label}`; braces inside of code are its own. */
function inlineTags(text: string): string {
  let result = '';
  let at = 0;
  for (const match of text.matchAll(
    /\{@(code|literal|link|linkplain|value|inheritDoc|snippet|index|summary|systemProperty)\b\s*/g,
  )) {
    if (match.index < at) continue;
    const start = match.index + match[0].length;
    const end = closingBrace(text, start);
    result += text.slice(at, match.index) + inlineTag(match[1] ?? '', text.slice(start, end));
    at = end + 1;
  }
  return result + text.slice(at);
}

function closingBrace(text: string, start: number): number {
  let depth = 1;
  for (let at = start; at < text.length; at += 1) {
    if (text[at] === '{') depth += 1;
    else if (text[at] === '}') depth -= 1;
    if (depth === 0) return at;
  }
  return text.length;
}

function inlineTag(word: string, content: string): string {
  if (word === 'inheritDoc') return '';
  if (word === 'literal' || word === 'summary' || word === 'index') return content;
  if (word === 'snippet') return `<pre>${content.replace(/^[^\n]*:\s*\n/, '')}</pre>`;
  if (word === 'code' || word === 'systemProperty') return `\`${content.replaceAll('`', "'")}\``;
  const [, target = '', label = ''] = /^([^\s(]+(?:\([^)]*\))?)\s*([\s\S]*)$/.exec(content.trim()) ?? [];
  return label === '' ? `\`${target.replace(/^#/, '').replace('#', '.')}\`` : label;
}

function outsideCode(text: string, change: (part: string) => string): string {
  return text
    .split(/(```[\s\S]*?```|`[^`]*`)/)
    .map((part, at) => (at % 2 === 1 ? part : change(part)))
    .join('');
}

function entityText(text: string): string {
  return text.replace(/&(#?\w+);/g, (all, name: string) => entities[name] ?? all);
}
