// `cronwright check`: reads settings and pipelines as the daemon would and says what is wrong, for people or for machines.
import { checkNotifications } from '../config/check-notifications.ts';
import { loadPipelines } from '../config/load-pipelines.ts';
import { findConfigDir, type LoadSettingsOptions, loadSettings } from '../config/load-settings.ts';
import { CronwrightError, type Problem } from '../domain/errors.ts';
import type { StepCatalogue } from '../domain/step-catalogue.ts';

export interface CheckedConfig {
  ok: boolean;
  /** Pipelines without a problem. */
  pipelines: number;
  schedules: number;
  /** With problems or without. */
  templates: number;
  problems: readonly Problem[];
  warnings: readonly Problem[];
}

/** Checks a configuration directory. What is wrong with it is in the result; it throws only where the machine fails. */
export async function checkConfig(options: LoadSettingsOptions & { catalogue: StepCatalogue }): Promise<CheckedConfig> {
  const settings = await loadSettings(options).catch((error: unknown) => {
    if (error instanceof CronwrightError && error.code === 'invalid_config') return error;
    throw error;
  });
  const failed = settings instanceof CronwrightError;
  const problems: Problem[] = failed ? [...settings.problems] : [];
  // Pipelines are checked even where the settings are wrong; only named calendars are not known then.
  const configDir = failed ? findConfigDir(options) : settings.configDir;
  const loaded = await loadPipelines({
    configDir,
    settings: failed ? { calendars: {} } : settings,
    catalogue: options.catalogue,
  });
  problems.push(...(failed ? [] : await checkNotifications(configDir, options.catalogue)), ...loaded.problems);
  return {
    ok: problems.length === 0,
    pipelines: loaded.pipelines.length,
    schedules: loaded.pipelines.reduce((sum, { schedules }) => sum + schedules.length, 0),
    templates: loaded.templates,
    problems,
    warnings: loaded.warnings,
  };
}
