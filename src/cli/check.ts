// `cronwright check`: every problem of the configuration, with file, line and column.
import { basename, join, parse, relative } from 'node:path';
import { findConfigDir } from '../config/load-settings.ts';
import { CronwrightError, type Problem } from '../domain/errors.ts';
import { problemLine } from '../domain/problem-line.ts';
import { checkConfig } from '../foresight/check.ts';
import type { PluginProblem } from '../steps/load-plugins.ts';
import type { Registry } from '../steps/registry.ts';
import type { CliContext } from './cli-context.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import { loadStepTypes, readSettings } from './load-config.ts';
import { plainText } from './plain-text.ts';
import { printJson, printLine } from './print.ts';

export async function check(context: CliContext, options: { config?: string; json?: boolean }): Promise<ExitCode> {
  const where = { env: context.env, workingDir: context.cwd, flags: { config: options.config } };
  const configDir = findConfigDir(where);
  const { registry, problems } = await loadStepTypes({ configDir, plugins: await listedPlugins(context, options) });
  const checked = await checkConfig({ ...where, catalogue: registry });
  const missing = missingPlugins(problems, registry);
  const own = checked.problems.filter((problem) => !isFollowUp(problem, missing));
  const place = (problem: Problem): Problem => fromHere(context, configDir, problem);
  const result = {
    ok: checked.ok && problems.length === 0,
    config: configDir,
    pipelines: checked.pipelines,
    schedules: checked.schedules,
    templates: checked.templates,
    problems: [...problems, ...own].map(place),
    warnings: checked.warnings.map(place),
  };
  if (options.json) printJson(context, result);
  else printResult(context, result);
  return result.ok ? exitCodes.done : exitCodes.wrongUsage;
}

/** Those of settings that are wrong are not known; that they are wrong is told by the check itself. */
async function listedPlugins(context: CliContext, options: { config?: string }): Promise<readonly string[]> {
  try {
    return (await readSettings(context, options)).plugins;
  } catch (error) {
    if (error instanceof CronwrightError && error.code === 'invalid_config') return [];
    throw error;
  }
}

/**
 * What the step types of plugins that cannot be used begin with. Where a plugin could not even say its name, its file, folder
 * or package is taken for it.
 */
function missingPlugins(problems: readonly PluginProblem[], registry: Registry): ReadonlySet<string> {
  const loaded = new Set(registry.list().map(({ plugin }) => plugin));
  return new Set(
    problems.flatMap(({ plugin, pluginName }) => {
      if (pluginName !== undefined) return [pluginName];
      const { dir, name } = parse(plugin);
      const guess = name === 'index' || name === 'plugin' ? basename(dir) : name;
      return loaded.has(guess) ? [] : [guess];
    }),
  );
}

/** Whether a step type is unknown only because its plugin is, which has been told. */
function isFollowUp({ path, got }: Problem, missing: ReadonlySet<string>): boolean {
  return path?.endsWith('.uses') === true && missing.has(got?.split('.')[0] ?? '');
}

/** With the file as a path that an editor can open from here. */
function fromHere(context: CliContext, configDir: string, problem: Problem): Problem {
  if (problem.file === undefined) return problem;
  const absolute = join(configDir, problem.file);
  const path = relative(context.cwd, absolute);
  return { ...problem, file: path.startsWith('..') ? absolute : path };
}

interface CheckResult {
  config: string;
  pipelines: number;
  schedules: number;
  templates: number;
  problems: readonly Problem[];
  warnings: readonly Problem[];
}

function printResult(context: CliContext, result: CheckResult): void {
  const { red, yellow, green } = context.stdout.colors;
  for (const problem of result.problems) printLine(context, plainText(problemLine(problem)));
  for (const warning of result.warnings) printLine(context, `${yellow('warning:')} ${plainText(problemLine(warning))}`);
  const { problems, warnings, pipelines, schedules, templates } = result;
  if (problems.length + warnings.length > 0) printLine(context);
  const found = [count(problems.length, 'problem'), count(warnings.length, 'warning')].join(', ');
  const paint = problems.length > 0 ? red : warnings.length > 0 ? yellow : green;
  const sound = `${count(pipelines, 'pipeline')} and ${count(schedules, 'schedule')} are sound`;
  const made = templates === 0 ? '' : `; ${count(templates, 'template')}`;
  printLine(context, `${paint(found)} in ${result.config}; ${sound}${made}.`);
}

function count(n: number, word: string): string {
  return `${n} ${word}${n === 1 ? '' : 's'}`;
}
