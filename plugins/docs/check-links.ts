// Follows every link of a tree of pages: which lead nowhere, which lead out of it, which pages nothing leads to.
import { posix } from 'node:path';
import type { Page, Place } from './read-page.ts';

export const problemKinds = [
  'dead_link',
  'dead_anchor',
  'missing_image',
  'link_outside',
  'undefined_reference',
  'orphan',
] as const;

export interface Problem {
  /** Relative to the tree. */
  file: string;
  line: number;
  column: number;
  kind: (typeof problemKinds)[number];
  target: string;
  message: string;
}

export interface Tree {
  pages: readonly Page[];
  /** Every file and folder, relative to the tree. */
  files: ReadonlySet<string>;
  folders: ReadonlySet<string>;
}

/** Pure. `external`: links to elsewhere, which nobody followed. */
export function checkLinks(tree: Tree): { problems: Problem[]; links: number; external: number } {
  const byPath = new Map(tree.pages.map((page) => [page.path, page]));
  const problems: Problem[] = [];
  const leadsTo = new Map(tree.pages.map((page) => [page.path, [] as string[]]));
  let links = 0;
  let external = 0;
  for (const page of tree.pages) {
    const add = (place: Place, kind: Problem['kind'], message: string): void => {
      const { line, column, target } = place;
      problems.push({ file: page.path, line, column, kind, target, message });
    };
    for (const link of page.links) {
      if (/^([a-z][a-z0-9+.-]*:|\/\/)/i.test(link.target)) {
        external += 1;
        continue;
      }
      links += 1;
      const found = follow(page, link.target, tree, byPath);
      if (found.page !== undefined) leadsTo.get(page.path)?.push(found.page);
      if (found.kind === undefined) continue;
      add(link, found.kind === 'dead_link' && link.kind === 'image' ? 'missing_image' : found.kind, found.message);
    }
    for (const reference of page.undefinedReferences) {
      add(reference, 'undefined_reference', `nothing on this page says what [${reference.target}] is`);
    }
  }
  return { problems: [...problems, ...orphans(tree, leadsTo)].sort(inOrder), links, external };
}

type Followed = { page: string; kind?: undefined } | { page?: string; kind: Problem['kind']; message: string };

/** The file that a link of a page leads to, and what is wrong with it. */
function follow(page: Page, target: string, tree: Tree, byPath: ReadonlyMap<string, Page>): Followed {
  const [, address = '', fragment] = /^([^?#]*)(?:\?[^#]*)?(?:#(.*))?$/s.exec(target) ?? [];
  const path = decoded(address);
  const anchor = decoded(fragment ?? '');
  if (path === undefined || anchor === undefined) return { kind: 'dead_link', message: 'the address has a broken %' };
  if (target === '') return { kind: 'dead_link', message: 'the link has no address' };
  const from = path.startsWith('/') ? '.' : posix.dirname(page.path);
  const joined = address === '' ? page.path : posix.join(from, path).replace(/(?<=.)\/$/, '');
  if (joined === '..' || joined.startsWith('../')) {
    return {
      kind: 'link_outside',
      message: 'the link leaves the documents: what it leads to is not published with them',
    };
  }
  if (tree.folders.has(joined)) return { page: indexOf(tree, joined) ?? joined };
  if (!tree.files.has(joined)) return { kind: 'dead_link', message: `there is no ${joined}` };
  const linked = byPath.get(joined);
  if (anchor === '' || linked === undefined || linked.anchors.has(anchor)) return { page: joined };
  return { page: joined, kind: 'dead_anchor', message: `${joined} has no heading or id #${anchor}` };
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

/** The page that stands for a folder. */
function indexOf(tree: Pick<Tree, 'files'>, folder: string): string | undefined {
  return ['README.md', 'index.md'].map((name) => posix.join(folder, name)).find((path) => tree.files.has(path));
}

/** Pages that cannot be reached from the index by links. */
function orphans(tree: Tree, leadsTo: ReadonlyMap<string, readonly string[]>): Problem[] {
  const index = indexOf(tree, '.');
  const first = { line: 1, column: 1, kind: 'orphan' } as const;
  if (index === undefined) {
    if (tree.pages.length === 0) return [];
    return [
      { ...first, file: 'README.md', target: 'README.md', message: 'there is no README.md that leads to the pages' },
    ];
  }
  const reached = new Set([index]);
  // A set hands out what is added while it is walked.
  for (const path of reached) for (const next of leadsTo.get(path) ?? []) reached.add(next);
  return tree.pages
    .filter((page) => !reached.has(page.path))
    .map((page) => ({
      ...first,
      file: page.path,
      target: page.path,
      message: `no link leads from ${index} to this page`,
    }));
}

function inOrder(a: Problem, b: Problem): number {
  if (a.file !== b.file) return a.file < b.file ? -1 : 1;
  return a.line - b.line || a.column - b.column;
}
