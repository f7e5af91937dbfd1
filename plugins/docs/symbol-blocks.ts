// Writes one symbol: its code, what is said of it, then its members where the language describes them one by one.
import type { ModuleMember, ModuleSymbol } from './analysis.ts';
import type { LanguageWords } from './languages.ts';
import { code, fence, prose } from './markdown.ts';

type Tag = ModuleSymbol['tags'][number];

/** `anchors` is told of every heading below the symbol's own. */
export function symbolBlocks(
  symbol: ModuleSymbol,
  words: LanguageWords,
  anchors: (heading: string) => string,
): string[] {
  const blocks = [`### ${code(symbol.name)}`, ...described(symbol, codeOf(symbol, words), words)];
  const constants = symbol.members.filter((member) => member.kind === 'constant' && symbol.kind !== 'enum');
  if (constants.length > 0) {
    const lines = constants.flatMap((member) => [...commented(member, words), member.signature]);
    blocks.push('**Constants**', fence(lines.join('\n'), words.fence));
  }
  for (const { kind, title } of headed) {
    const members = symbol.members.filter((member) => member.kind === kind);
    if (members.length > 0) blocks.push(`**${title}**`);
    for (const member of members) {
      const name = `${symbol.name}${words.separator}${member.name}`;
      anchors(name);
      blocks.push(`#### ${code(name)}`, ...described(member, member.signature, words));
    }
  }
  const implemented = symbol.members.filter((member) => member.kind === 'implementation');
  if (implemented.length > 0) {
    blocks.push('**Implements**', fence(implemented.map((member) => member.signature).join('\n'), words.fence));
  }
  return blocks.filter((block) => block !== '');
}

const headed: readonly { kind: ModuleMember['kind']; title: string }[] = [
  { kind: 'constructor', title: 'Constructors' },
  { kind: 'property', title: 'Properties' },
  { kind: 'method', title: 'Methods' },
];

function described(item: { comment: string; tags: readonly Tag[] }, signature: string, words: LanguageWords): string[] {
  return [
    ...texts(item, 'deprecated', (text) => prose(`Deprecated. ${text}`).replace(/^/gm, '> ')),
    fence(signature, words.fence),
    prose(item.comment),
    ...texts(item, 'remarks', prose),
    parameters(item),
    ...texts(item, 'returns', (text) => `**Returns** ${prose(text)}`),
    ...texts(item, 'throws', (text, name) => `**${words.throws}** ${thrown(text, name)}`),
    ...texts(item, 'section', (text, name) => `**${prose(name)}**\n\n${prose(text)}`),
    ...texts(item, 'example', (text) => `**Example**\n\n${example(text, words.fence)}`),
    ...texts(item, 'see', (text) => `**See** ${prose(text)}`),
  ];
}

function thrown(text: string, name: string): string {
  if (name === '') return prose(text);
  return text === '' ? code(name) : `${code(name)}: ${prose(text)}`;
}

function texts(
  described: { tags: readonly Tag[] },
  tag: string,
  write: (text: string, name: string) => string,
): string[] {
  return described.tags
    .filter((each) => each.tag === tag && (each.text !== '' || each.name !== '' || tag === 'deprecated'))
    .map((each) => write(each.text, each.name));
}

function parameters({ tags }: { tags: readonly Tag[] }): string {
  const described = tags.filter((tag) => tag.tag === 'param' && tag.text !== '');
  if (described.length === 0) return '';
  // Lines after the first belong to the item.
  const items = described.map((tag) => `- ${code(tag.name)}: ${prose(tag.text).replace(/\n(?=.)/g, '\n  ')}`);
  return `**Parameters**\n\n${items.join('\n')}`;
}

/** An example is code, unless it has fences of its own and prose around them. */
function example(text: string, language: string): string {
  return /^\s*(`{3}|~{3})/m.test(text) ? prose(text) : fence(text.replace(/^<caption>.*?<\/caption>\s*/, ''), language);
}

/** A type with the fields that others may use; in TypeScript with all its members, which reads like an interface. */
function codeOf(symbol: ModuleSymbol, words: LanguageWords): string {
  const inside = symbol.members.filter(
    ({ kind }) => kind === undefined || kind === 'field' || (kind === 'constant' && symbol.kind === 'enum'),
  );
  if (inside.length === 0) return symbol.signature;
  const isPython = words.fence === 'python';
  const last = inside.findLastIndex((member) => member.kind === 'constant');
  const members = inside.map((member, at) => {
    // The constants of an enum are a list, which ends where other members follow.
    const end =
      member.kind === 'constant' ? (at < last ? ',' : inside.length > last + 1 ? ';' : '') : isPython ? '' : ';';
    const lines = [...commented(member, words), ...`${member.signature}${end}`.split('\n')];
    return lines.map((each) => (each === '' ? '' : `${words.indent}${each}`)).join('\n');
  });
  return isPython ? `${symbol.signature}:\n${members.join('\n')}` : `${symbol.signature} {\n${members.join('\n')}\n}`;
}

function commented(member: ModuleMember, words: LanguageWords): string[] {
  return member.comment === '' ? [] : words.comment(member.comment);
}
