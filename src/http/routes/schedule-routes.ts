// /schedules: when they fire, what became of each fire time, pausing, resuming and starting them by hand.
import { z } from 'zod';
import { pauseSchedule } from '../../control/pause-schedule.ts';
import { resumeSchedule } from '../../control/resume-schedule.ts';
import { triggerSchedule } from '../../control/trigger-schedule.ts';
import { CronwrightError } from '../../domain/errors.ts';
import type { ScheduleDefinition } from '../../domain/schedule.ts';
import { getSchedule, listSchedules, scheduleView } from '../../reads/list-schedules.ts';
import { fireView, nextFires } from '../../reads/next-fires.ts';
import { occurrencePage, scheduleOccurrences } from '../../reads/schedule-occurrences.ts';
import { defineRoute, type Route } from '../route.ts';
import { idParams, instantText, pageFields, pageOf, tags, wholeNumber } from './fields.ts';
import { startedRun } from './pipeline-routes.ts';

const dayMs = 86_400_000;

const list = defineRoute({
  method: 'GET',
  path: '/api/v1/schedules',
  operationId: 'listSchedules',
  summary: 'Schedules, by id',
  tag: tags.schedules,
  query: z.strictObject({ ...pageFields, pipeline: z.string().optional() }),
  answer: { status: 200, description: 'a page of schedules', schema: pageOf(scheduleView) },
  async handle({ context }, { query, caller }) {
    return { body: await listSchedules(context.db, { ...query, tenant: caller.tenant }) };
  },
});

const show = defineRoute({
  method: 'GET',
  path: '/api/v1/schedules/{id}',
  operationId: 'getSchedule',
  summary: 'One schedule',
  tag: tags.schedules,
  params: idParams,
  answer: { status: 200, description: 'the schedule', schema: scheduleView },
  problems: ['not_found'],
  async handle({ context }, { params, caller }) {
    return { body: await getSchedule(context.db, caller.tenant, params.id) };
  },
});

const occurrences = defineRoute({
  method: 'GET',
  path: '/api/v1/schedules/{id}/occurrences',
  operationId: 'listOccurrences',
  summary: 'What became of every nominal time in a window, newest first',
  tag: tags.schedules,
  params: idParams,
  query: z.strictObject({
    ...pageFields,
    from: instantText.optional().describe('default: 7 days before `to`'),
    to: instantText.optional().describe('exclusive; default: now'),
  }),
  answer: {
    status: 200,
    description: 'a page of outcomes, and their counts over the whole window',
    schema: occurrencePage,
  },
  problems: ['not_found'],
  async handle({ context }, { params, query, caller }) {
    const schedule = await getSchedule(context.db, caller.tenant, params.id);
    const to = query.to ?? new Date(context.clock.now());
    const from = query.from ?? new Date(to.getTime() - 7 * dayMs);
    if (from >= to) throw wrongWindow(from, to);
    const { cursor, limit } = query;
    return { body: await scheduleOccurrences(context.db, schedule, { from, to, cursor, limit }) };
  },
});

const next = defineRoute({
  method: 'GET',
  path: '/api/v1/schedules/{id}/next',
  operationId: 'listNextFires',
  summary: "When it fires next, on the schedule's wall clock and in UTC",
  tag: tags.schedules,
  params: idParams,
  query: z.strictObject({
    count: wholeNumber(1, 1_000).default(10),
    from: instantText.optional().describe('strictly after; default: now'),
  }),
  answer: {
    status: 200,
    description: 'fire times, whether paused or not',
    schema: z.object({ schedule: z.string(), timezone: z.string(), items: z.array(fireView) }),
  },
  problems: ['not_found'],
  async handle({ context }, { params, query, caller }) {
    const schedule = await getSchedule(context.db, caller.tenant, params.id);
    const from = query.from ?? new Date(context.clock.now());
    const items = nextFires(schedule.definition as ScheduleDefinition, from, query.count);
    return { body: { schedule: schedule.id, timezone: schedule.timezone, items } };
  },
});

const pause = defineRoute({
  method: 'POST',
  path: '/api/v1/schedules/{id}/pause',
  operationId: 'pauseSchedule',
  summary: 'Pause a schedule; the time it is paused is never owed',
  tag: tags.schedules,
  params: idParams,
  body: z.strictObject({
    reason: z.string().max(1_000).optional(),
    until: instantText.optional().describe('goes on by itself then'),
  }),
  answer: { status: 200, description: 'the schedule', schema: scheduleView },
  problems: ['not_found'],
  async handle({ context }, { params, body, caller }) {
    const { tenant, actor } = caller;
    await pauseSchedule(context.control, { tenant, id: params.id, actor, ...body });
    return { body: await getSchedule(context.db, tenant, params.id) };
  },
});

const resume = defineRoute({
  method: 'POST',
  path: '/api/v1/schedules/{id}/resume',
  operationId: 'resumeSchedule',
  summary: 'Resume a paused schedule with its next time',
  tag: tags.schedules,
  params: idParams,
  body: z.strictObject({}),
  answer: {
    status: 200,
    description: 'the schedule, and how many nominal times the pause passed over',
    schema: scheduleView.extend({ skipped: z.int() }).meta({ id: 'ResumedSchedule' }),
  },
  problems: ['not_found', 'conflict'],
  async handle({ context }, { params, caller }) {
    const { tenant, actor } = caller;
    const { skipped } = await resumeSchedule(context.control, { tenant, id: params.id, actor });
    return { body: { ...(await getSchedule(context.db, tenant, params.id)), skipped } };
  },
});

const trigger = defineRoute({
  method: 'POST',
  path: '/api/v1/schedules/{id}/trigger',
  operationId: 'triggerSchedule',
  summary: 'Start a run of a schedule now, as its overlap policy allows',
  tag: tags.schedules,
  params: idParams,
  body: z.strictObject({
    force: z.boolean().default(false).describe('also while another run of it is live'),
    inputs: z.record(z.string(), z.unknown()).optional().describe("instead of the schedule's own, by name"),
  }),
  answer: {
    status: 202,
    description: 'the run',
    schema: startedRun.extend({ schedule: z.string() }).meta({ id: 'TriggeredRun' }),
  },
  problems: ['not_found', 'conflict', 'limit_reached'],
  async handle({ starter }, { params, body, caller }) {
    const run = await triggerSchedule(starter, { id: params.id, ...body }, caller);
    return { body: run, headers: { location: `/api/v1/runs/${run.id}` } };
  },
});

function wrongWindow(from: Date, to: Date): CronwrightError {
  return new CronwrightError(
    'invalid_input',
    `"from" (${from.toISOString()}) is not before "to" (${to.toISOString()})`,
    {
      problems: [
        {
          path: 'query.from',
          message: 'not before to',
          got: from.toISOString(),
          expected: `before ${to.toISOString()}`,
        },
      ],
    },
  );
}

export const scheduleRoutes: readonly Route[] = [list, show, occurrences, next, pause, resume, trigger];
