// Reads a Markdown page for what a check of it needs: where headings can be linked to, what it links to and from which place.
import GithubSlugger from 'github-slugger';
import { fromMarkdown } from 'mdast-util-from-markdown';
import { gfmFromMarkdown } from 'mdast-util-gfm';
import { gfm } from 'micromark-extension-gfm';
import { visit } from 'unist-util-visit';

type Root = ReturnType<typeof fromMarkdown>;
type Nodes = Root['children'][number];
type NodeOf<Type extends Nodes['type']> = Extract<Nodes, { type: Type }>;

export interface Page {
  /** Relative to the tree, with slashes. */
  path: string;
  /** What `#…` may name: headings as GitHub numbers them, and ids in HTML. */
  anchors: ReadonlySet<string>;
  links: readonly PageLink[];
  /** `[text][name]` where nothing says what `name` is. */
  undefinedReferences: readonly Place[];
  /** Texts of headings, of code spans and of lines of code: the names and signatures that the page tells of. */
  names: ReadonlySet<string>;
}

export interface Place {
  /** 1-based. */
  line: number;
  column: number;
  /** As written, without the escapes of Markdown. */
  target: string;
}

export interface PageLink extends Place {
  kind: 'link' | 'image';
}

/** Made once: putting the extensions together takes longer than reading a short page. */
const dialect = { extensions: [gfm()], mdastExtensions: [gfmFromMarkdown()] };

/** Pure. */
export function readPage(path: string, text: string): Page {
  const tree = fromMarkdown(text, dialect);
  const slugger = new GithubSlugger();
  const anchors = new Set<string>();
  const names = new Set<string>();
  const images = imageNames(tree);
  const links: PageLink[] = [];
  const undefinedReferences: Place[] = [];
  visit(tree, (node) => {
    if (node.type === 'heading') {
      anchors.add(slugger.slug(textOf(node)));
      names.add(textOf(node).trim());
    } else if (node.type === 'inlineCode') names.add(node.value.trim());
    else if (node.type === 'code') for (const line of node.value.split('\n')) names.add(line.trim());
    else if (node.type === 'link' || node.type === 'image') links.push(linkAt(node, node.type));
    else if (node.type === 'definition') links.push(linkAt(node, images.has(node.identifier) ? 'image' : 'link'));
    else if (node.type === 'html') {
      for (const id of idsIn(node)) anchors.add(id);
      links.push(...htmlLinks(node));
    } else if (node.type === 'text') undefinedReferences.push(...referencesIn(node, text));
  });
  return { path, anchors, links, undefinedReferences, names };
}

function linkAt(node: NodeOf<'link' | 'image' | 'definition'>, kind: PageLink['kind']): PageLink {
  const { line = 1, column = 1 } = node.position?.start ?? {};
  return { kind, target: node.url, line, column };
}

/** What a reader sees of a heading. */
function textOf(node: Nodes): string {
  if (node.type === 'html' || node.type === 'image') return '';
  if ('value' in node) return node.value;
  return 'children' in node ? node.children.map((child) => textOf(child)).join('') : '';
}

function imageNames(tree: Root): ReadonlySet<string> {
  const found = new Set<string>();
  visit(tree, 'imageReference', (node) => void found.add(node.identifier));
  return found;
}

function idsIn({ value }: NodeOf<'html'>): string[] {
  return [...value.matchAll(/<[a-z][^>]*?\s(?:id|name)\s*=\s*(?:"([^"]*)"|'([^']*)')/gi)].map(
    (match) => match[1] ?? match[2] ?? '',
  );
}

function htmlLinks(node: NodeOf<'html'>): PageLink[] {
  const tags = node.value.matchAll(/<(a|img)\b[^>]*?\s(?:href|src)\s*=\s*(?:"([^"]*)"|'([^']*)')/gi);
  return [...tags].map((match) => ({
    kind: match[1]?.toLowerCase() === 'img' ? 'image' : 'link',
    target: match[2] ?? match[3] ?? '',
    ...placeIn(node, node.value, match.index),
  }));
}

/** The parser takes such brackets for text; only the source tells which of them were escaped. */
function referencesIn(node: NodeOf<'text'>, source: string): Place[] {
  const { start, end } = node.position ?? {};
  if (start?.offset === undefined || end?.offset === undefined) return [];
  const written = source.slice(start.offset, end.offset);
  const brackets = written.matchAll(/(?<!\\)!?\[(?:[^\]\\[]|\\.)+\]\[((?:[^\]\\[]|\\.)+)\]/g);
  return [...brackets].map((match) => ({ target: match[1] ?? '', ...placeIn(node, written, match.index) }));
}

function placeIn(node: Nodes, text: string, index: number): { line: number; column: number } {
  const { line = 1, column = 1 } = node.position?.start ?? {};
  const before = text.slice(0, index).split('\n');
  const last = before.at(-1) ?? '';
  return { line: line + before.length - 1, column: before.length === 1 ? column + last.length : last.length + 1 };
}
