// Imports one plugin module, JavaScript or TypeScript, wherever it lies, so that `cronwright/plugin` resolves from it.
import { existsSync, statSync } from 'node:fs';
import { extname, isAbsolute, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

export interface ImportOptions {
  /** Where paths and package names are resolved from; absolute. */
  baseDir: string;
  /** Keeps transpiled TypeScript between starts; without it nothing is written. */
  cacheDir?: string | undefined;
}

// The API beside this file: TypeScript in a checkout, JavaScript once built.
const apiPath = fileURLToPath(new URL(`./api${extname(import.meta.url)}`, import.meta.url));
const typescript = /\.[cm]?tsx?$/;
const entryNames = ['index.ts', 'index.mts', 'index.js', 'index.mjs'];

/** What the module exports. Rejects with what the module threw, or with what could not be resolved. */
export async function importPlugin(specifier: string, options: ImportOptions): Promise<Record<string, unknown>> {
  const file = await resolvePlugin(specifier, options);
  if (typescript.test(file)) return importByJiti(file, options);
  try {
    return (await import(/* @vite-ignore */ pathToFileURL(file).href)) as Record<string, unknown>;
  } catch (error) {
    // A plugin outside any node_modules that holds Cronwright: jiti's alias finds the API for it.
    if (lacksPluginApi(error)) return importByJiti(file, options);
    throw error;
  }
}

/** Absolute path of the plugin's entry. Paths start with `.` or `/` or end like a script; everything else is a package name. */
export async function resolvePlugin(specifier: string, options: ImportOptions): Promise<string> {
  if (!isPath(specifier)) {
    const jiti = await createLoader(options);
    const url = jiti.esmResolve(specifier, pathToFileURL(join(options.baseDir, 'package.json')).href);
    return url.startsWith('file:') ? fileURLToPath(url) : url;
  }
  const path = resolve(options.baseDir, specifier);
  if (!existsSync(path)) throw new Error(`there is no file ${path}`);
  if (!statSync(path).isDirectory()) return path;
  const entry = entryNames.map((name) => join(path, name)).find((candidate) => existsSync(candidate));
  if (entry === undefined) throw new Error(`the folder ${path} has none of ${entryNames.join(', ')}`);
  return entry;
}

function isPath(specifier: string): boolean {
  return specifier.startsWith('.') || isAbsolute(specifier) || /\.[cm]?[jt]s$/.test(specifier);
}

async function importByJiti(file: string, options: ImportOptions): Promise<Record<string, unknown>> {
  const jiti = await createLoader(options);
  return jiti.import<Record<string, unknown>>(file);
}

/** Loaded on demand: who lists no TypeScript plugin does not pay for it. */
async function createLoader(options: ImportOptions) {
  const { createJiti } = await import('jiti');
  return createJiti(join(options.baseDir, 'plugins.js'), {
    alias: { 'cronwright/plugin': apiPath },
    fsCache: options.cacheDir ?? false,
    interopDefault: false,
  });
}

function lacksPluginApi(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  const unresolved = code === 'ERR_MODULE_NOT_FOUND' || code === 'ERR_PACKAGE_PATH_NOT_EXPORTED';
  return unresolved && error instanceof Error && error.message.includes('cronwright');
}
