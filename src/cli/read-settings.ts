// The settings of a command that needs no daemon, and the step types they name.
import { loadSettings, type Settings } from '../config/load-settings.ts';
import type { Problem } from '../domain/errors.ts';
import { builtInPlugins } from '../steps/built-in-plugins.ts';
import { loadPlugins } from '../steps/load-plugins.ts';
import { createRegistry, type Registry } from '../steps/registry.ts';
import type { CliContext } from './cli-context.ts';

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
export async function loadStepTypes(settings: Settings): Promise<{ registry: Registry; problems: Problem[] }> {
  const { plugins, problems } = await loadPlugins({
    builtIn: builtInPlugins,
    listed: settings.plugins,
    baseDir: settings.configDir,
  });
  return { registry: createRegistry(plugins), problems };
}
