// Writes the page of one module: what it is for, what it exports, how each of that is called.
import type { Module, ModuleSymbol, SymbolKind } from './analysis.ts';
import { pagePath } from './documents.ts';
import { counted, languageWords } from './languages.ts';
import { cell, code, createAnchors, fence, firstSentence, prose } from './markdown.ts';
import { symbolBlocks } from './symbol-blocks.ts';

const sections: readonly { kind: SymbolKind; title: string; word: string }[] = [
  { kind: 'module', title: 'Modules', word: 'module' },
  { kind: 'function', title: 'Functions', word: 'function' },
  { kind: 'class', title: 'Classes', word: 'class' },
  { kind: 'struct', title: 'Structs', word: 'struct' },
  { kind: 'union', title: 'Unions', word: 'union' },
  { kind: 'record', title: 'Records', word: 'record' },
  { kind: 'interface', title: 'Interfaces', word: 'interface' },
  { kind: 'trait', title: 'Traits', word: 'trait' },
  { kind: 'type', title: 'Types', word: 'type' },
  { kind: 'enum', title: 'Enums', word: 'enum' },
  { kind: 'annotation', title: 'Annotations', word: 'annotation' },
  // Of types that another file declares.
  { kind: 'method', title: 'Methods', word: 'method' },
  { kind: 'constant', title: 'Constants', word: 'constant' },
  { kind: 'static', title: 'Statics', word: 'static' },
  { kind: 'variable', title: 'Variables', word: 'variable' },
  { kind: 'macro', title: 'Macros', word: 'macro' },
  { kind: 'namespace', title: 'Namespaces', word: 'namespace' },
  { kind: 're-export', title: 'Re-exports', word: 're-export' },
];

/**
 * Pure: an equal module gives an equal page. No line numbers, dates or commits: a page changes only when what it tells does.
 */
export function modulePage(module: Module): string {
  const words = languageWords[module.language];
  const exported = module.symbols.filter((symbol) => symbol.exported);
  const internal = module.symbols.filter((symbol) => !symbol.exported);
  const anchors = createAnchors();
  anchors(module.path);
  const overview = exported.length > 1;
  if (overview) anchors(words.contents);
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
        symbols: chapter.symbols.map((symbol) => ({
          symbol,
          // Asked first: the anchor belongs to the heading above those inside of the blocks.
          anchor: own ? anchors(symbol.name) : undefined,
          blocks: own ? symbolBlocks(symbol, words, anchors) : [],
        })),
      };
    });
  const entries = chapters.flatMap((chapter) => chapter.symbols.map((entry) => ({ ...entry, word: chapter.word })));
  const blocks = [
    `# ${code(module.path)}`,
    prose(module.comment),
    facts(module, exported.length),
    ...(overview ? [`## ${words.contents}`, overviewTable(entries)] : []),
    ...chapters.flatMap((chapter) => [
      `## ${chapter.title}`,
      ...(chapter.own
        ? chapter.symbols.flatMap(({ blocks }) => blocks)
        : [fence(chapter.symbols.map(({ symbol }) => symbol.signature).join('\n'), words.fence)]),
    ]),
    ...(internal.length > 0 ? ['## Inside the module', internalTable(internal)] : []),
  ];
  return `${blocks.filter((block) => block !== '').join('\n\n')}\n`;
}

function facts(module: Module, count: number): string {
  const up = '../'.repeat(pagePath(module).split('/').length - 1);
  const { name, offered } = languageWords[module.language];
  const belongs = module.package === undefined ? '' : ` · package ${code(module.package)}`;
  return `[All modules](${up}README.md) · ${name}${belongs} · ${counted(count, offered)}`;
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
