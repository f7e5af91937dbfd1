// Loads plugins and pipelines from the configuration directory: all fallible work, before anything live is touched.
import { join } from 'node:path';
import { checkNotifications } from '../config/check-notifications.ts';
import { type LoadedPipelines, loadPipelines } from '../config/load-pipelines.ts';
import type { Settings } from '../config/load-settings.ts';
import { placePluginProblems } from '../config/place-plugin-problems.ts';
import { CronwrightError, type Problem } from '../domain/errors.ts';
import { problemLine } from '../domain/problem-line.ts';
import { builtInPlugins } from '../steps/built-in-plugins.ts';
import { loadPlugins } from '../steps/load-plugins.ts';
import { createRegistry, type Registry } from '../steps/registry.ts';

/** Throws `invalid_config` where a plugin cannot be loaded, naming plugin and cause. */
export async function loadRegistry(settings: Settings): Promise<Registry> {
  const { plugins, problems } = await loadPlugins({
    builtIn: builtInPlugins,
    listed: settings.plugins,
    baseDir: settings.configDir,
    cacheDir: join(settings.dataDir, 'cache', 'plugins'),
  });
  if (problems.length > 0) {
    throw configError('plugins cannot be loaded', await placePluginProblems(settings.configDir, problems));
  }
  return createRegistry(plugins);
}

/** Throws `invalid_config` with every problem of every file. */
export async function loadCheckedPipelines(settings: Settings, registry: Registry): Promise<LoadedPipelines> {
  const loaded = await loadPipelines({ configDir: settings.configDir, settings, catalogue: registry });
  const problems = [...(await checkNotifications(settings.configDir, registry)), ...loaded.problems];
  if (problems.length > 0) throw configError('the configuration has mistakes', problems);
  return loaded;
}

function configError(what: string, problems: readonly Problem[]): CronwrightError {
  const lines = problems.map((problem) => `  ${problemLine(problem)}`);
  return new CronwrightError('invalid_config', `${what}:\n${lines.join('\n')}`, { problems });
}
