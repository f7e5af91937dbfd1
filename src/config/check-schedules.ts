// Checks the schedules of a pipeline: ids, cron expressions (to the column), zones, calendars, inputs.

import { closestWord } from '../domain/closest-word.ts';
import { civilDateOf, dayNumberOf } from '../domain/cron/calendar-days.ts';
import { CronError } from '../domain/cron/cron-error.ts';
import { compileCron } from '../domain/cron/next-occurrences.ts';
import { ZoneError, zoneOf } from '../domain/cron/zone-transitions.ts';
import type { ScheduleDefinition } from '../domain/schedule.ts';
import type { Calendars } from './build-pipeline.ts';
import { valueProblems } from './check-inputs.ts';
import type { PipelineCheck } from './pipeline-check.ts';
import type { KeyPath } from './yaml-source.ts';
import { valueAt } from './zod-problems.ts';

export function checkSchedules(check: PipelineCheck, calendars: Calendars): void {
  const seen = new Set<string>();
  const byName = new Map(check.pipeline.schedules.map((schedule) => [schedule.name, schedule]));
  const written = valueAt(check.document.value, ['schedules']);
  if (!Array.isArray(written)) return;
  for (const [index, raw] of written.entries()) {
    const path = ['schedules', index];
    const id: unknown = valueAt(raw, ['id']);
    if (typeof id === 'string' && seen.has(id)) {
      check.problem([...path, 'id'], {
        message: 'two schedules have the same id',
        got: id,
        expected: 'an id of its own',
      });
    }
    if (typeof id === 'string') seen.add(id);
    const schedule = typeof id === 'string' ? byName.get(id) : undefined;
    if (schedule && check.isWhole(path)) checkSchedule(check, schedule, path, calendars);
  }
}

function checkSchedule(check: PipelineCheck, schedule: ScheduleDefinition, path: KeyPath, calendars: Calendars): void {
  checkTime(check, schedule, path);
  checkCalendar(check, path, calendars);
  checkScheduleInputs(check, schedule, path);
}

function checkTime(check: PipelineCheck, schedule: ScheduleDefinition, path: KeyPath): void {
  const zoneIsGood = checkZone(check, schedule.timezone, path);
  try {
    const compiled = compileCron(schedule.cron, zoneIsGood ? schedule.timezone : 'UTC', {
      id: schedule.id,
      ...(schedule.dst ? { dst: schedule.dst } : {}),
    });
    if (compiled.neverFires) {
      check.warning([...path, 'cron'], { message: 'the schedule never fires: no such day exists', got: schedule.cron });
    }
  } catch (error) {
    if (!(error instanceof CronError)) throw error;
    const finding = {
      message: `not a cron expression: ${error.reason}`,
      got: JSON.stringify(schedule.cron).slice(0, 80),
    };
    check.problem([...path, 'cron'], { ...finding, offset: error.column });
  }
}

function checkZone(check: PipelineCheck, timezone: string, path: KeyPath): boolean {
  try {
    zoneOf(timezone);
    return true;
  } catch (error) {
    if (!(error instanceof ZoneError)) throw error;
    const meant = closestWord(timezone, Intl.supportedValuesOf('timeZone'));
    const message = meant === undefined ? 'unknown time zone' : `unknown time zone; did you mean "${meant}"?`;
    check.problem([...path, 'timezone'], { message, got: timezone, expected: 'an IANA name, e.g. America/New_York' });
    return false;
  }
}

function checkCalendar(check: PipelineCheck, path: KeyPath, calendars: Calendars): void {
  const at = [...path, 'calendar'];
  const calendar = valueAt(check.document.value, at);
  if (typeof calendar === 'string' && !Object.hasOwn(calendars, calendar)) {
    const names = Object.keys(calendars);
    const meant = closestWord(calendar, names);
    const message = meant === undefined ? 'unknown calendar' : `unknown calendar; did you mean "${meant}"?`;
    const expected = names.length > 0 ? `one of: ${names.join(', ')}` : 'a calendar of `calendars` in cronwright.yaml';
    check.problem(at, { message, got: calendar, expected });
  }
  for (const list of ['include_dates', 'exclude_dates']) {
    const dates = valueAt(calendar, [list]);
    if (!Array.isArray(dates)) continue;
    for (const [index, date] of dates.entries()) {
      if (isDate(String(date))) continue;
      check.problem([...at, list, index], {
        message: 'there is no such day',
        got: String(date),
        expected: 'a day of the calendar',
      });
    }
  }
}

function isDate(text: string): boolean {
  const [year = 0, month = 0, day = 0] = text.split('-').map(Number);
  const there = civilDateOf(dayNumberOf(year, month, day));
  return there.year === year && there.month === month && there.day === day;
}

function checkScheduleInputs(check: PipelineCheck, schedule: ScheduleDefinition, path: KeyPath): void {
  const definitions = check.pipeline.inputs;
  const given = schedule.inputs ?? {};
  for (const [name, value] of Object.entries(given)) {
    const at = [...path, 'inputs', name];
    const definition = Object.hasOwn(definitions, name) ? definitions[name] : undefined;
    if (definition) {
      for (const finding of valueProblems(value, definition)) check.problem(at, finding);
      continue;
    }
    const names = Object.keys(definitions);
    const meant = closestWord(name, names);
    const message = meant === undefined ? 'unknown input' : `unknown input; did you mean "${meant}"?`;
    const expected = names.length > 0 ? `one of: ${names.join(', ')}` : 'nothing: the pipeline has no inputs';
    check.problem(at, { atKey: true, message, got: name, expected });
  }
  for (const [name, definition] of Object.entries(definitions)) {
    if (!definition.required || definition.default !== undefined || Object.hasOwn(given, name)) continue;
    const message = `the input "${name}" is required, but the schedule does not give it`;
    check.problem(path, { message, expected: `\`inputs: { ${name}: … }\` in the schedule` });
  }
}
