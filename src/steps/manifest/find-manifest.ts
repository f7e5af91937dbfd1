// Finds the plugin.yaml that a path or package name of the configuration stands for.
import { existsSync, statSync } from 'node:fs';
import { basename, dirname, isAbsolute, join, resolve } from 'node:path';

const manifestName = 'plugin.yaml';

/** Absolute path; undefined where the plugin is a module, or is not there at all. */
export function findManifest(specifier: string, baseDir: string): string | undefined {
  if (!specifier.startsWith('.') && !isAbsolute(specifier)) return inPackage(specifier, baseDir);
  const path = resolve(baseDir, specifier);
  return [path, join(path, manifestName)].find((file) => basename(file) === manifestName && isFile(file));
}

/** Of a package in the nearest node_modules that has it, as Node looks for modules. */
function inPackage(name: string, from: string): string | undefined {
  const file = join(from, 'node_modules', name, manifestName);
  if (isFile(file)) return file;
  const parent = dirname(from);
  return parent === from ? undefined : inPackage(name, parent);
}

function isFile(path: string): boolean {
  return existsSync(path) && statSync(path).isFile();
}
