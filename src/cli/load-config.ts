// The configuration of a command that needs no daemon: settings, step types, pipelines, and what is wrong with them.
import { type LoadedPipelines, loadPipelines } from '../config/load-pipelines.ts';
import { loadSettings, type Settings } from '../config/load-settings.ts';
import { placePluginProblems } from '../config/place-plugin-problems.ts';
import type { Database } from '../db/database.ts';
import { builtInPlugins } from '../steps/built-in-plugins.ts';
import { loadPlugins, type PluginProblem } from '../steps/load-plugins.ts';
import { createRegistry, type Registry } from '../steps/registry.ts';
import type { CliContext } from './cli-context.ts';

/** Texts as they were typed. */
export interface SettingsOptions {
  config?: string;
  dataDir?: string;
  databaseUrl?: string;
  port?: string;
  host?: string;
  workers?: string;
  inFlight?: string;
  json?: boolean;
}

/** Throws `invalid_config` with every problem. */
export function readSettings(context: CliContext, options: SettingsOptions): Promise<Settings> {
  const { config, dataDir, databaseUrl, port, host, workers, inFlight } = options;
  return loadSettings({
    env: context.env,
    workingDir: context.cwd,
    flags: { config, dataDir, databaseUrl, port, host, workers, inFlight },
  });
}

/** The step types of the built-in and the listed plugins; what cannot be loaded is a problem beside them. */
export async function loadStepTypes(
  settings: Pick<Settings, 'plugins' | 'configDir'>,
): Promise<{ registry: Registry; problems: PluginProblem[] }> {
  const { plugins, problems } = await loadPlugins({
    builtIn: builtInPlugins,
    listed: settings.plugins,
    baseDir: settings.configDir,
  });
  return { registry: createRegistry(plugins), problems: await placePluginProblems(settings.configDir, problems) };
}

/** Everything; what is wrong is in `problems`, that of plugins included. */
export async function loadConfig(settings: Settings): Promise<LoadedPipelines & { registry: Registry }> {
  const { registry, problems } = await loadStepTypes(settings);
  const loaded = await loadPipelines({ configDir: settings.configDir, settings, catalogue: registry });
  return { ...loaded, problems: [...problems, ...loaded.problems], registry };
}

/** The database that the settings name. It is the caller's to close. */
export async function openOwnDatabase({ databaseUrl, dataDir }: Settings): Promise<Database> {
  const { openDatabase } = await import('../db/open-database.ts');
  return openDatabase(databaseUrl === undefined ? { dataDir } : { databaseUrl, dataDir });
}
