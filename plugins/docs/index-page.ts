// Writes the first page: every module by folder, with what it is for and a link to its page.
import type { Module } from './analysis.ts';
import { pagePath } from './documents.ts';
import { counted, languageWords } from './languages.ts';
import { address, cell, code, createAnchors, firstSentence, line, prose } from './markdown.ts';

export interface IndexContent {
  title: string;
  description: string;
  /** In any order. `hasPage`: false where its page could not be written. */
  modules: readonly { module: Module; hasPage: boolean }[];
  note: string;
}

/** Pure: equal content gives an equal page. */
export function indexPage(content: IndexContent): string {
  const modules = [...content.modules].sort((a, b) => (a.module.path < b.module.path ? -1 : 1));
  const folders = new Map<string, { module: Module; hasPage: boolean }[]>();
  for (const entry of modules) {
    const folder = folderOf(entry.module.path);
    folders.set(folder, [...(folders.get(folder) ?? []), entry]);
  }
  const names = [...folders.keys()].sort((a, b) => (a < b ? -1 : 1));
  const anchors = createAnchors();
  anchors(content.title);
  if (names.length > 1) anchors('Folders');
  const anchorOf = new Map(names.map((name) => [name, anchors(folderTitle(name))]));
  const blocks = [
    `# ${line(content.title)}`,
    prose(content.description),
    modules.length === 0 ? 'No modules to document were found.' : facts(modules.map(({ module }) => module)),
    content.note === '' ? '' : `> ${line(content.note)}`,
    ...(names.length > 1 ? ['## Folders', folderTable(names, folders, anchorOf)] : []),
    ...names.flatMap((name) => [`## ${code(folderTitle(name))}`, moduleTable(folders.get(name) ?? [])]),
  ];
  return `${blocks.filter((block) => block !== '').join('\n\n')}\n`;
}

function facts(modules: readonly Module[]): string {
  const exports = modules.reduce((sum, module) => sum + exportCount(module), 0);
  const names = modules.map((module) => languageWords[module.language].name);
  const perLanguage = [...new Set(names)]
    .sort()
    .map((name) => `${name} ${names.filter((each) => each === name).length}`);
  const languages = perLanguage.length > 1 ? ` (${perLanguage.join(', ')})` : '';
  return `${counted(modules.length, 'module')}${languages} · ${counted(exports, offeredBy(modules))}`;
}

/** The word that fits all of them. */
function offeredBy(modules: readonly Module[]): string {
  const words = new Set(modules.map((module) => languageWords[module.language].offered));
  return words.size === 1 ? ([...words][0] ?? '') : 'public symbol';
}

/** The same as the head of a column. */
function columnOf(modules: readonly Module[]): string {
  return offeredBy(modules) === 'export' ? 'Exports' : 'Public';
}

function folderTable(
  names: readonly string[],
  folders: ReadonlyMap<string, readonly { module: Module }[]>,
  anchorOf: ReadonlyMap<string, string>,
): string {
  const rows = names.map((name) => {
    const modules = folders.get(name) ?? [];
    const exports = modules.reduce((sum, { module }) => sum + exportCount(module), 0);
    const link = `[${code(folderTitle(name), true)}](#${encodeURIComponent(anchorOf.get(name) ?? '')})`;
    return `| ${link} | ${modules.length} | ${exports} |`;
  });
  const column = columnOf([...folders.values()].flat().map(({ module }) => module));
  return [`| Folder | Modules | ${column} |`, '| --- | ---: | ---: |', ...rows].join('\n');
}

function moduleTable(entries: readonly { module: Module; hasPage: boolean }[]): string {
  const rows = entries.map(({ module, hasPage }) => {
    const name = code(module.path.slice(module.path.lastIndexOf('/') + 1), true);
    const link = hasPage ? `[${name}](${address(pagePath(module))})` : `${name} (not generated)`;
    return `| ${link} | ${cell(summaryOf(module))} | ${exportCount(module)} |`;
  });
  const column = columnOf(entries.map(({ module }) => module));
  return [`| Module | Summary | ${column} |`, '| --- | --- | ---: |', ...rows].join('\n');
}

/** What the file says of itself; where it says nothing, what the symbol says that bears its name. */
function summaryOf(module: Module): string {
  if (module.comment !== '') return firstSentence(module.comment);
  const stem = module.path.slice(module.path.lastIndexOf('/') + 1).replace(/\.[^.]*$/, '');
  return firstSentence(module.symbols.find(({ exported, name }) => exported && name === stem)?.comment ?? '');
}

function exportCount(module: Module): number {
  return module.symbols.filter((symbol) => symbol.exported).length;
}

function folderOf(path: string): string {
  const slash = path.lastIndexOf('/');
  return slash === -1 ? '' : path.slice(0, slash);
}

function folderTitle(folder: string): string {
  return folder === '' ? '(root)' : `${folder}/`;
}
