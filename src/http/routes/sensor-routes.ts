// /sensors: what is looked at between runs, what was found, pausing, resuming and looking by hand.
import { z } from 'zod';
import { checkSensor } from '../../control/check-sensor.ts';
import { pauseSensor } from '../../control/pause-sensor.ts';
import { resumeSensor } from '../../control/resume-sensor.ts';
import { getSensor, listSensors, sensorDetail, sensorView } from '../../reads/list-sensors.ts';
import { defineRoute, type Route } from '../route.ts';
import { idParams, instantText, pageFields, pageOf, tags } from './fields.ts';

const list = defineRoute({
  method: 'GET',
  path: '/api/v1/sensors',
  operationId: 'listSensors',
  summary: 'Sensors, by id',
  tag: tags.sensors,
  query: z.strictObject({ ...pageFields, pipeline: z.string().optional() }),
  answer: { status: 200, description: 'a page of sensors', schema: pageOf(sensorView) },
  async handle({ context }, { query, caller }) {
    return { body: await listSensors(context.db, { ...query, tenant: caller.tenant }) };
  },
});

const show = defineRoute({
  method: 'GET',
  path: '/api/v1/sensors/{id}',
  operationId: 'getSensor',
  summary: 'One sensor, how far it has seen and what it found last',
  tag: tags.sensors,
  params: idParams,
  answer: { status: 200, description: 'the sensor', schema: sensorDetail },
  problems: ['not_found'],
  async handle({ context }, { params, caller }) {
    return { body: await getSensor(context.db, caller.tenant, params.id) };
  },
});

const pause = defineRoute({
  method: 'POST',
  path: '/api/v1/sensors/{id}/pause',
  operationId: 'pauseSensor',
  summary: 'Pause a sensor; what happens meanwhile it finds after that',
  tag: tags.sensors,
  params: idParams,
  body: z.strictObject({
    reason: z.string().max(1_000).optional(),
    until: instantText.optional().describe('goes on by itself then'),
  }),
  answer: { status: 200, description: 'the sensor', schema: sensorDetail },
  problems: ['not_found'],
  async handle({ context }, { params, body, caller }) {
    const { tenant, actor } = caller;
    await pauseSensor(context.control, { tenant, id: params.id, actor, ...body });
    return { body: await getSensor(context.db, tenant, params.id) };
  },
});

const resume = defineRoute({
  method: 'POST',
  path: '/api/v1/sensors/{id}/resume',
  operationId: 'resumeSensor',
  summary: 'Resume a paused sensor; it looks at once',
  tag: tags.sensors,
  params: idParams,
  body: z.strictObject({}),
  answer: { status: 200, description: 'the sensor', schema: sensorDetail },
  problems: ['not_found', 'conflict'],
  async handle({ context }, { params, caller }) {
    const { tenant, actor } = caller;
    await resumeSensor(context.control, { tenant, id: params.id, actor });
    return { body: await getSensor(context.db, tenant, params.id) };
  },
});

const check = defineRoute({
  method: 'POST',
  path: '/api/v1/sensors/{id}/check',
  operationId: 'checkSensor',
  summary: 'Look now instead of at its next time',
  tag: tags.sensors,
  params: idParams,
  body: z.strictObject({}),
  answer: { status: 202, description: 'the sensor, before that look', schema: sensorDetail },
  problems: ['not_found', 'conflict'],
  async handle({ context }, { params, caller }) {
    const { tenant } = caller;
    await checkSensor(context.control, { tenant, id: params.id });
    return { body: await getSensor(context.db, tenant, params.id) };
  },
});

export const sensorRoutes: readonly Route[] = [list, show, pause, resume, check];
