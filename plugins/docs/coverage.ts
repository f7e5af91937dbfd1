// Counts how much of the code the documents tell of: modules with a page, symbols on it, symbols that somebody described.
import type { Module, ModuleSymbol } from './analysis.ts';
import { pagePath } from './documents.ts';
import type { Page } from './read-page.ts';

export interface Share {
  documented: number;
  total: number;
  /** One decimal, rounded down: 100 is all. 100 of nothing. */
  percent: number;
  /** The first of those that are not documented. */
  missing: string[];
}

export interface Coverage {
  modules: Share;
  symbols: Share;
  comments: Share;
}

const maxMissing = 20;

/** Pure. Symbols are the public ones; a re-export has its comment where it comes from. */
export function coverageOf(modules: readonly Module[], pages: readonly Page[]): Coverage {
  const byPath = new Map(pages.map((page) => [page.path, page]));
  const symbols = modules.flatMap((module) =>
    module.symbols
      .filter((symbol) => symbol.exported)
      .map((symbol) => ({ symbol, page: byPath.get(pagePath(module)), label: `${module.path}: ${symbol.name}` })),
  );
  const own = symbols.filter(({ symbol }) => symbol.kind !== 're-export');
  return {
    modules: share(
      modules,
      (module) => byPath.has(pagePath(module)),
      (module) => module.path,
    ),
    symbols: share(
      symbols,
      ({ symbol, page }) => page !== undefined && isNamed(page, symbol),
      ({ label }) => label,
    ),
    comments: share(
      own,
      ({ symbol }) => symbol.comment !== '' || symbol.tags.length > 0,
      ({ label }) => label,
    ),
  };
}

/** What is passed on from elsewhere may be no more than a line of code. */
export function isNamed({ names }: Page, symbol: ModuleSymbol): boolean {
  const line = symbol.kind === 're-export' ? symbol.signature : symbol.name;
  return names.has(symbol.name.replace(/\s+/g, ' ').trim()) || names.has(line.trim());
}

function share<Item>(
  items: readonly Item[],
  isDocumented: (item: Item) => boolean,
  label: (item: Item) => string,
): Share {
  const missing = items.filter((item) => !isDocumented(item));
  const documented = items.length - missing.length;
  const percent = items.length === 0 ? 100 : Math.floor((documented * 1_000) / items.length) / 10;
  return { documented, total: items.length, percent, missing: missing.slice(0, maxMissing).map(label) };
}
