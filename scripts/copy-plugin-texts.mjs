// Build: puts the texts of the built-in plugins (prompts, templates) beside their compiled code, where `textBeside` looks for them.
import { cp, mkdir, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const from = fileURLToPath(new URL('../plugins/', import.meta.url));
const to = fileURLToPath(new URL('../dist/plugins/', import.meta.url));
for (const entry of await readdir(from, { recursive: true, withFileTypes: true })) {
  const path = join(entry.parentPath, entry.name);
  // READMEs are shipped where they stand.
  if (!entry.isFile() || entry.name.endsWith('.ts') || entry.name === 'README.md') continue;
  const target = join(to, path.slice(from.length));
  await mkdir(dirname(target), { recursive: true });
  await cp(path, target);
}
