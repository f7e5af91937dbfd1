// Loads the built-in plugins and those the configuration lists; one that is broken is reported and does not stop the others.
import { errorMessage, type Problem } from '../domain/errors.ts';
import type { PluginDefinition } from './api.ts';
import { checkPlugin, isPlugin } from './check-plugin.ts';
import { importPlugin, resolvePlugin } from './import-plugin.ts';
import { findManifest } from './manifest/find-manifest.ts';

/** Where a plugin comes from, in a form that another process can load it by. */
export type PluginSource =
  | { readonly kind: 'built-in'; readonly specifier: string }
  /** `specifier` as listed; `file` and `cacheDir` absolute. */
  | {
      readonly kind: 'listed';
      readonly specifier: string;
      readonly file: string;
      readonly cacheDir?: string | undefined;
    }
  /** `file` is the plugin.yaml, absolute; its steps are programs. */
  | { readonly kind: 'manifest'; readonly specifier: string; readonly file: string };

export interface LoadedPlugin {
  readonly definition: PluginDefinition;
  readonly source: PluginSource;
  /** Of a manifest: program and arguments by step. */
  readonly commands?: Readonly<Record<string, readonly string[]>>;
}

export interface PluginProblem extends Problem {
  /** The built-in's name, or the path or package name as listed. */
  plugin: string;
  /** What its step types begin with, where that is known. */
  pluginName?: string;
}

/** Imports the module of a built-in plugin, whose name is the key. */
export type BuiltInPlugins = Readonly<Record<string, () => Promise<{ default: unknown }>>>;

export async function loadPlugins(options: {
  builtIn: BuiltInPlugins;
  /** Paths or package names. */
  listed: readonly string[];
  /** What listed paths and names are resolved from; absolute. */
  baseDir: string;
  /** Absolute; keeps transpiled TypeScript between starts. */
  cacheDir?: string;
}): Promise<{ plugins: LoadedPlugin[]; problems: PluginProblem[] }> {
  const candidates = [
    ...Object.entries(options.builtIn).map(async ([specifier, load]): Promise<Candidate> => {
      const source: PluginSource = { kind: 'built-in', specifier };
      return examine(specifier, async () => ({ exported: await load(), source }));
    }),
    ...options.listed.map(async (specifier): Promise<Candidate> => {
      const manifest = findManifest(specifier, options.baseDir);
      if (manifest !== undefined) return examineManifest(specifier, manifest, options.baseDir);
      return examine(specifier, async () => {
        const file = await resolvePlugin(specifier, options);
        const exported = await importPlugin(file, options);
        return { exported, source: { kind: 'listed', specifier, file, cacheDir: options.cacheDir } };
      });
    }),
  ];
  const plugins: LoadedPlugin[] = [];
  const problems: PluginProblem[] = [];
  for (const candidate of await Promise.all(candidates)) {
    if (!('definition' in candidate)) problems.push(...candidate);
    else if (plugins.some((other) => other.definition.name === candidate.definition.name)) {
      problems.push(duplicate(candidate, plugins));
    } else plugins.push(candidate);
  }
  return { plugins, problems };
}

type Candidate = LoadedPlugin | PluginProblem[];

async function examine(
  specifier: string,
  load: () => Promise<{ exported: Record<string, unknown>; source: PluginSource }>,
): Promise<Candidate> {
  let loaded: Awaited<ReturnType<typeof load>>;
  try {
    loaded = await load();
  } catch (error) {
    return [{ plugin: specifier, message: `plugin ${specifier} cannot be loaded: ${describeCause(error)}` }];
  }
  const definition = defaultExport(loaded.exported);
  if (isPlugin(definition)) return { definition, source: loaded.source };
  const name = (definition as { name?: unknown } | null | undefined)?.name;
  return checkPlugin(definition).map((message) => ({
    plugin: specifier,
    ...(typeof name === 'string' ? { pluginName: name } : {}),
    message: `plugin ${specifier}: ${message}`,
  }));
}

async function examineManifest(specifier: string, file: string, baseDir: string): Promise<Candidate> {
  // On demand: this file is read by every step's own process too, which needs no YAML.
  const { loadManifest } = await import('./manifest/load-manifest.ts');
  const loaded = await loadManifest(file, baseDir);
  if (!loaded.problems) return { ...loaded.manifest, source: { kind: 'manifest', specifier, file } };
  return loaded.problems.map((problem) => ({
    ...problem,
    plugin: specifier,
    message: `plugin ${specifier}: ${problem.message}`,
  }));
}

/** A CommonJS module that was made from ESM holds its default export one level deeper. */
export function defaultExport(exported: Record<string, unknown>): unknown {
  const outer = exported.default;
  const isWrapped = typeof outer === 'object' && outer !== null && '__esModule' in outer && 'default' in outer;
  return isWrapped ? outer.default : outer;
}

function duplicate(candidate: LoadedPlugin, plugins: readonly LoadedPlugin[]): PluginProblem {
  const { name } = candidate.definition;
  const { specifier } = candidate.source;
  const holder = plugins.find((other) => other.definition.name === name)?.source.specifier;
  return {
    plugin: specifier,
    pluginName: name,
    message: `plugin ${specifier}: its name ${name} is taken by ${holder}`,
  };
}

function describeCause(error: unknown): string {
  const cause = error instanceof Error && error.cause !== undefined ? `: ${errorMessage(error.cause)}` : '';
  const kind = error instanceof Error && error.name !== 'Error' ? `${error.name}: ` : '';
  // Node goes on with a list of who asked for the module; that is never the reader's file.
  return `${kind}${errorMessage(error)}${cause}`.replace(/\nRequire stack:(\n- .*)+/g, '');
}
