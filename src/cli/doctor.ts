// `cronwright doctor`: looks at everything a daemon needs here, one line each, with what to do about it.
import type { Settings } from '../config/load-settings.ts';
import { CronwrightError, errorMessage } from '../domain/errors.ts';
import { problemLine } from '../domain/problem-line.ts';
import type { CliContext } from './cli-context.ts';
import { checkDatabase } from './doctor/check-database.ts';
import { checkDataDirectory, checkSync } from './doctor/check-disk.ts';
import { checkNode, checkProgram, checkTimeZones } from './doctor/check-machine.ts';
import { checkAccess, checkPort } from './doctor/check-port.ts';
import type { Finding } from './doctor/finding.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import { loadConfig, readSettings, type SettingsOptions } from './load-config.ts';
import { plainText } from './plain-text.ts';
import { printJson, printLine } from './print.ts';

export async function doctor(context: CliContext, options: SettingsOptions): Promise<ExitCode> {
  const findings: Finding[] = [];
  for await (const finding of examine(context, options)) {
    findings.push(finding);
    if (!options.json) printFinding(context, finding);
  }
  const failed = findings.filter(({ status }) => status === 'fail').length;
  const warned = findings.filter(({ status }) => status === 'warn').length;
  if (options.json) printJson(context, { ok: failed === 0, checks: findings });
  else printLine(context, `\n${findings.length} checks: ${failed} failed, ${warned} with a warning.`);
  return failed === 0 ? exitCodes.done : exitCodes.failed;
}

async function* examine(context: CliContext, options: SettingsOptions): AsyncGenerator<Finding> {
  yield checkNode();
  yield checkTimeZones(context.clock.now());
  yield await checkProgram('git', ['--version'], 'git steps');
  yield await checkProgram('pdflatex', ['--version'], 'LaTeX steps');
  const { settings, finding } = await settingsOf(context, options);
  yield finding;
  if (!settings) return;
  yield await checkPipelines(settings);
  yield await checkDataDirectory(settings.dataDir);
  yield await checkSync(settings.dataDir, context.clock);
  yield* await checkDatabase(settings, context.clock);
  yield await checkPort(settings.host, settings.port);
  yield checkAccess(settings.host, settings.token);
}

async function settingsOf(
  context: CliContext,
  options: SettingsOptions,
): Promise<{ settings?: Settings; finding: Finding }> {
  try {
    const settings = await readSettings(context, options);
    return { settings, finding: { check: 'settings', status: 'ok', detail: settings.configDir } };
  } catch (error) {
    const problems = error instanceof CronwrightError ? error.problems.map(problemLine) : [];
    const detail = [errorMessage(error), ...problems].join('; ');
    return { finding: { check: 'settings', status: 'fail', detail, hint: '`cronwright check` tells all' } };
  }
}

async function checkPipelines(settings: Settings): Promise<Finding> {
  const { pipelines, problems, warnings } = await loadConfig(settings);
  const count = `${pipelines.length} pipelines`;
  const hint = '`cronwright check` tells all';
  if (problems.length > 0) {
    return { check: 'pipelines', status: 'fail', detail: `${count}, ${problems.length} problems`, hint };
  }
  if (warnings.length > 0) {
    return { check: 'pipelines', status: 'warn', detail: `${count}, ${warnings.length} warnings`, hint };
  }
  return { check: 'pipelines', status: 'ok', detail: count };
}

function printFinding(context: CliContext, { check, status, detail, hint }: Finding): void {
  const { green, yellow, red, dim } = context.stdout.colors;
  const paint = { ok: green, warn: yellow, fail: red }[status];
  printLine(context, `${paint(status.padEnd(4))}  ${check.padEnd(14)}  ${plainText(detail)}`);
  if (hint !== undefined) printLine(context, `${' '.repeat(22)}${dim(hint)}`);
}
