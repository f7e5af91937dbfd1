// A schedule of the configuration by its id, for commands that need no daemon.
import { closestWord } from '../domain/closest-word.ts';
import { CronwrightError } from '../domain/errors.ts';
import type { ScheduleDefinition } from '../domain/schedule.ts';
import type { CliContext } from './cli-context.ts';
import { loadConfig, readSettings } from './load-config.ts';

/** Throws `invalid_input` where there is none; files that are wrong do not hide the others. */
export async function findSchedule(
  context: CliContext,
  id: string,
  options: { config?: string; tenant?: string },
): Promise<ScheduleDefinition> {
  const settings = await readSettings(context, options);
  const { pipelines, problems } = await loadConfig(settings);
  const tenant = options.tenant ?? 'default';
  const schedules = pipelines.filter((one) => one.tenant === tenant).flatMap((one) => one.schedules);
  const found = schedules.find((one) => one.id === id);
  if (found) return found;
  const guess = closestWord(
    id,
    schedules.map((one) => one.id),
  );
  const advice = guess === undefined ? '' : `; did you mean ${guess}?`;
  const broken = problems.length > 0 ? `; ${problems.length} problems there: see \`cronwright check\`` : '';
  throw new CronwrightError('invalid_input', `there is no schedule "${id}" in ${settings.configDir}${advice}${broken}`);
}
