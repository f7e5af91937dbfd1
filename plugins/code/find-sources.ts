// Finds the source files worth reading: in a stable order, without following links, without what tools and other people wrote.
import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createMatcher } from './glob.ts';
import type { Language } from './module.ts';

export interface Source {
  /** Relative, with slashes. */
  path: string;
  language: Language;
}

const extensions: Readonly<Record<string, Language>> = {
  '.ts': 'typescript',
  '.tsx': 'typescript',
  '.mts': 'typescript',
  '.cts': 'typescript',
  '.js': 'javascript',
  '.jsx': 'javascript',
  '.mjs': 'javascript',
  '.cjs': 'javascript',
};

/** Folders of dependencies, of results and of other people's code, at any depth. */
const skippedFolders = new Set(
  'node_modules bower_components jspm_packages dist build out coverage vendor vendored third_party third-party __generated__'.split(
    ' ',
  ),
);

const skippedFiles = /\.min\.[cm]?js$|\.bundle\.[cm]?js$|-lock\.[cm]?js$|\.generated\.[cm]?[jt]sx?$/;

/** Every source below `root`, sorted by path (code points). `include` and `exclude` are patterns (glob.ts). */
export async function findSources(
  root: string,
  options: {
    include: readonly string[];
    exclude: readonly string[];
    languages: readonly Language[];
    signal: AbortSignal;
  },
): Promise<Source[]> {
  const isIncluded = options.include.length === 0 ? () => true : createMatcher(options.include);
  const isExcluded = createMatcher(options.exclude);
  const found: Source[] = [];
  const visit = async (folder: string): Promise<void> => {
    options.signal.throwIfAborted();
    for (const entry of await readdir(join(root, folder), { withFileTypes: true })) {
      const { name } = entry;
      const path = folder === '' ? name : `${folder}/${name}`;
      // U+FFFD: the name is not UTF-8 and could not be opened by what we know of it.
      if (name.startsWith('.') || name.includes('\uFFFD') || isExcluded(path)) continue;
      if (entry.isDirectory() && !skippedFolders.has(name)) await visit(path);
      const language = entry.isFile() ? languageOf(name) : undefined;
      if (language !== undefined && options.languages.includes(language) && isIncluded(path)) {
        found.push({ path, language });
      }
    }
  };
  await visit('');
  return found.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** A name for a file that is stable, unique by its path, and safe in every file system. */
export function slugOf(path: string): string {
  const readable = path
    .normalize('NFKD')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '')
    .slice(-60)
    .replace(/^-/, '');
  const hash = createHash('sha256').update(path).digest('hex').slice(0, 10);
  return readable === '' ? hash : `${readable}-${hash}`;
}

/** Whether a text was made by a tool for machines: bundled or minified. */
export function isMinified(text: string): boolean {
  if (text.length < 2_000) return false;
  const lines = text.split('\n').length;
  return text.length / lines > 300;
}

function languageOf(name: string): Language | undefined {
  if (skippedFiles.test(name)) return undefined;
  return extensions[name.slice(name.lastIndexOf('.'))];
}
