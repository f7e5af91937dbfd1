// Writes the page of one module: what it is for, what it exports, how each of that is called.
import type { Module, ModuleSymbol, SymbolKind } from './analysis.ts';
import { pagePath } from './documents.ts';
import { cell, code, createAnchors, fence, firstSentence, prose } from './markdown.ts';

const sections: readonly { kind: SymbolKind; title: string; word: string }[] = [
  { kind: 'function', title: 'Functions', word: 'function' },
  { kind: 'class', title: 'Classes', word: 'class' },
  { kind: 'interface', title: 'Interfaces', word: 'interface' },
  { kind: 'type', title: 'Types', word: 'type' },
  { kind: 'enum', title: 'Enums', word: 'enum' },
  { kind: 'constant', title: 'Constants', word: 'constant' },
  { kind: 'variable', title: 'Variables', word: 'variable' },
  { kind: 'namespace', title: 'Namespaces', word: 'namespace' },
  { kind: 're-export', title: 'Re-exports', word: 're-export' },
];

/**
 * Pure: an equal module gives an equal page. No line numbers, dates or commits: a page changes only when what it tells does.
 */
export function modulePage(module: Module): string {
  const language = module.language === 'typescript' ? 'ts' : 'js';
  const exported = module.symbols.filter((symbol) => symbol.exported);
  const internal = module.symbols.filter((symbol) => !symbol.exported);
  const anchors = createAnchors();
  anchors(module.path);
  const overview = exported.length > 1;
  if (overview) anchors('Exports');
  const chapters = sections
    .map((section) => ({ ...section, symbols: exported.filter((symbol) => symbol.kind === section.kind) }))
    .filter((chapter) => chapter.symbols.length > 0)
    .map((chapter) => {
      anchors(chapter.title);
      // A list of names from elsewhere has nothing more to tell than its own lines.
      const own = chapter.kind !== 're-export';
      return {
        ...chapter,
        own,
        symbols: chapter.symbols.map((symbol) => ({ symbol, anchor: own ? anchors(symbol.name) : undefined })),
      };
    });
  const entries = chapters.flatMap((chapter) => chapter.symbols.map((entry) => ({ ...entry, word: chapter.word })));
  const blocks = [
    `# ${code(module.path)}`,
    prose(module.comment),
    facts(module, exported.length),
    ...(overview ? ['## Exports', overviewTable(entries)] : []),
    ...chapters.flatMap((chapter) => [
      `## ${chapter.title}`,
      ...(chapter.own
        ? chapter.symbols.map(({ symbol }) => symbolBlock(symbol, language))
        : [fence(chapter.symbols.map(({ symbol }) => symbol.signature).join('\n'), language)]),
    ]),
    ...(internal.length > 0 ? ['## Inside the module', internalTable(internal)] : []),
  ];
  return `${blocks.filter((block) => block !== '').join('\n\n')}\n`;
}

function facts(module: Module, count: number): string {
  const up = '../'.repeat(pagePath(module).split('/').length - 1);
  const language = module.language === 'typescript' ? 'TypeScript' : 'JavaScript';
  return `[All modules](${up}README.md) · ${language} · ${counted(count, 'export')}`;
}

function overviewTable(entries: readonly { symbol: ModuleSymbol; anchor: string | undefined; word: string }[]): string {
  const rows = entries.map(({ symbol, anchor, word }) => {
    const name = code(symbol.name, true);
    const link = anchor === undefined ? name : `[${name}](#${encodeURIComponent(anchor)})`;
    return `| ${link} | ${word} | ${summary(symbol)} |`;
  });
  return ['| Name | Kind | Summary |', '| --- | --- | --- |', ...rows].join('\n');
}

function internalTable(symbols: readonly ModuleSymbol[]): string {
  const rows = symbols.map((symbol) => {
    const word = sections.find((section) => section.kind === symbol.kind)?.word ?? symbol.kind;
    return `| ${code(symbol.name, true)} | ${word} | ${summary(symbol)} |`;
  });
  return ['| Name | Kind | Summary |', '| --- | --- | --- |', ...rows].join('\n');
}

function summary(symbol: ModuleSymbol): string {
  const sentence = cell(firstSentence(symbol.comment));
  const deprecated = symbol.tags.some((tag) => tag.tag === 'deprecated');
  return [deprecated ? '**Deprecated.**' : '', sentence].filter((part) => part !== '').join(' ');
}

function symbolBlock(symbol: ModuleSymbol, language: string): string {
  const blocks = [
    `### ${code(symbol.name)}`,
    ...texts(symbol, 'deprecated', (text) => prose(`Deprecated. ${text}`).replace(/^/gm, '> ')),
    fence(signatureText(symbol), language),
    prose(symbol.comment),
    ...texts(symbol, 'remarks', prose),
    parameters(symbol),
    ...texts(symbol, 'returns', (text) => `**Returns** ${prose(text)}`),
    ...texts(symbol, 'throws', (text) => `**Throws** ${prose(text)}`),
    ...texts(symbol, 'example', (text) => `**Example**\n\n${example(text, language)}`),
    ...texts(symbol, 'see', (text) => `**See** ${prose(text)}`),
  ];
  return blocks.filter((block) => block !== '').join('\n\n');
}

function texts(symbol: ModuleSymbol, tag: string, write: (text: string) => string): string[] {
  return symbol.tags
    .filter((each) => each.tag === tag && (each.text !== '' || tag === 'deprecated'))
    .map((each) => write(each.text));
}

function parameters(symbol: ModuleSymbol): string {
  const described = symbol.tags.filter((tag) => tag.tag === 'param' && tag.text !== '');
  if (described.length === 0) return '';
  // Lines after the first belong to the item.
  const items = described.map((tag) => `- ${code(tag.name)}: ${prose(tag.text).replace(/\n(?=.)/g, '\n  ')}`);
  return `**Parameters**\n\n${items.join('\n')}`;
}

/** An example is code, unless it has fences of its own and prose around them. */
function example(text: string, language: string): string {
  return /^\s*(`{3}|~{3})/m.test(text) ? prose(text) : fence(text.replace(/^<caption>.*?<\/caption>\s*/, ''), language);
}

/** A class with its public members reads like an interface. */
function signatureText(symbol: ModuleSymbol): string {
  if (symbol.members.length === 0) return symbol.signature;
  const members = symbol.members.map((member) => {
    const lines = [...docComment(member.comment), ...`${member.signature};`.split('\n')];
    return lines.map((each) => (each === '' ? '' : `  ${each}`)).join('\n');
  });
  return `${symbol.signature} {\n${members.join('\n')}\n}`;
}

function docComment(comment: string): string[] {
  if (comment === '') return [];
  const lines = comment.replaceAll('*/', '*\u200b/').split('\n');
  if (lines.length === 1) return [`/** ${lines[0] ?? ''} */`];
  return ['/**', ...lines.map((each) => ` * ${each}`.trimEnd()), ' */'];
}

function counted(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? '' : 's'}`;
}
