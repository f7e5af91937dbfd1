// What an engine has read, by its own record, and whether it may have: its folder and the trees of the installation, nothing else.
import { open, readFile, realpath } from 'node:fs/promises';
import { isAbsolute, relative, resolve, sep } from 'node:path';

/** Bytes of the record that are looked at: a document that reads more files than this names is no document. */
const longestRecord = 4_194_304;

/** Paths that it read and may not have, and whether it wrote over its own record: then nobody knows what it read. */
export async function forbiddenReads(folder: string, trees: readonly string[], record: string): Promise<string[]> {
  const root = await realpath(folder);
  const text = await readStart(resolve(root, record));
  const forbidden = new Set<string>();
  for (const line of new Set(text.split('\n'))) {
    const [, kind, path = ''] = /^(INPUT|OUTPUT) (.*)$/.exec(line) ?? [];
    const full = resolve(root, path);
    if (kind === 'OUTPUT' && full.endsWith('.fls')) forbidden.add(path);
    if (kind !== 'INPUT') continue;
    const isInstalled = trees.some((tree) => isBelow(tree, full));
    if (isInstalled || isBelow(root, await realpath(full).catch(() => full))) continue;
    forbidden.add(path);
  }
  return [...forbidden];
}

async function readStart(path: string): Promise<string> {
  const file = await open(path, 'r').catch(() => undefined);
  if (file === undefined) return '';
  try {
    if ((await file.stat()).size > longestRecord) return 'INPUT /more than a record holds\n';
    return await readFile(file, 'utf8');
  } finally {
    await file.close();
  }
}

function isBelow(root: string, path: string): boolean {
  const between = relative(root, path);
  return between === '' || !(isAbsolute(between) || between === '..' || between.startsWith(`..${sep}`));
}
