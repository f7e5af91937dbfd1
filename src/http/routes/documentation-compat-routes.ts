// /api/documentation/jobs: the routes of an older job tracker for database documentation, over the same reads and control verbs.
import { z } from 'zod';
import { cancelRun } from '../../control/cancel-run.ts';
import { pauseRun } from '../../control/pause-run.ts';
import { resumeRun } from '../../control/resume-run.ts';
import type { Caller } from '../../control/start-run.ts';
import { CronwrightError } from '../../domain/errors.ts';
import { type RunState, runStates } from '../../domain/run.ts';
import {
  documentationJob,
  documentationJobDetail,
  documentationPipeline,
  getDocumentationJob,
  jobStatuses,
  listDocumentationJobs,
  requireDocumentationRun,
  statesOfStatus,
  statusOf,
} from '../../reads/documentation-job.ts';
import type { HttpContext } from '../http-context.ts';
import { defineRoute, type Route } from '../route.ts';
import { idParams, pageFields, pageOf, tags } from './fields.ts';

const path = '/api/documentation/jobs';

const jobRequest = z.strictObject({
  objectIds: z.array(z.string().min(1).max(500)).max(10_000).default([]).describe('empty: all there are'),
  options: z
    .strictObject({
      skipExisting: z.boolean().optional().describe('default: true'),
      regenerateAll: z.boolean().optional().describe('also what is documented; not together with skipExisting'),
      maxRetries: z.int().min(0).max(20).optional().describe('of one object; default: that of the pipeline'),
    })
    .optional(),
  triggeredByUserId: z.string().max(200).optional(),
  triggeredByUserEmail: z.string().max(320).optional(),
});

const create = defineRoute({
  method: 'POST',
  path,
  operationId: 'createDocumentationJob',
  summary: `Older form: start a run of the pipeline ${documentationPipeline} for these objects`,
  tag: tags.older,
  body: jobRequest,
  answer: {
    status: 202,
    description: 'the job is durable and will be processed',
    schema: z.object({ jobId: z.uuid(), status: z.enum(jobStatuses) }),
  },
  problems: ['not_found', 'conflict', 'limit_reached'],
  async handle({ starter }, { body, caller }) {
    const run = await starter.start(documentationPipeline, { inputs: inputsOf(body) }, caller);
    const headers = { location: `${path}/${run.id}` };
    return { body: { jobId: run.id, status: statusOf(run.state) }, headers };
  },
});

const list = defineRoute({
  method: 'GET',
  path,
  operationId: 'listDocumentationJobs',
  summary: 'Older form: jobs, newest first',
  tag: tags.older,
  query: z.strictObject({
    ...pageFields,
    organization: z.string().optional().describe('a tenant, instead of the header Cronwright-Tenant; * for all'),
    status: z
      .string()
      .optional()
      .describe(`with commas: ${jobStatuses.join(', ')}`),
  }),
  answer: { status: 200, description: 'a page of jobs', schema: pageOf(documentationJob) },
  async handle({ context }, { query, caller }) {
    const { organization = caller.tenant, status, cursor, limit } = query;
    const tenant = organization === '*' ? null : organization;
    const filter = { tenant, states: readStatuses(status), cursor, limit };
    return { body: await listDocumentationJobs(context.db, filter, nowOf(context)) };
  },
});

const show = defineRoute({
  method: 'GET',
  path: `${path}/{id}`,
  operationId: 'getDocumentationJob',
  summary: 'Older form: progress of a job',
  tag: tags.older,
  params: idParams,
  answer: { status: 200, description: 'the job', schema: documentationJobDetail },
  problems: ['not_found'],
  async handle({ context }, { params, caller }) {
    return { body: await getDocumentationJob(context.db, caller.tenant, params.id, nowOf(context)) };
  },
});

const told = z.object({
  jobId: z.uuid(),
  success: z.literal(true),
  status: z.enum(jobStatuses).describe('as it is now: who works on it obeys before the next object'),
});

type Verb = (
  context: HttpContext,
  request: { tenant: string; id: string; actor: string },
) => Promise<{ state: RunState }>;

const verb = (method: 'POST' | 'DELETE', word: string, operationId: string, does: string, verbOf: Verb) =>
  defineRoute({
    method,
    path: `${path}/{id}${word}`,
    operationId,
    summary: `Older form: ${does} a job`,
    tag: tags.older,
    params: idParams,
    answer: { status: 200, description: 'done, or asked of its worker', schema: told },
    problems: ['not_found', 'conflict'],
    async handle({ context }, { params: { id }, caller }) {
      const { state } = await tell(context, caller, id, verbOf);
      return { body: { jobId: id, success: true as const, status: statusOf(state) } };
    },
  });

async function tell(context: HttpContext, { tenant, actor }: Caller, id: string, verbOf: Verb) {
  await requireDocumentationRun(context.db, tenant, id);
  return verbOf(context, { tenant, id, actor });
}

const pause = verb('POST', '/pause', 'pauseDocumentationJob', 'pause', ({ control }, run) => pauseRun(control, run));
const resume = verb('POST', '/resume', 'resumeDocumentationJob', 'resume', ({ control }, run) =>
  resumeRun(control, run),
);
const cancel = verb('DELETE', '', 'cancelDocumentationJob', 'cancel', ({ control }, run) => cancelRun(control, run));

/** What a request does not say is the pipeline's to say. */
function inputsOf({ objectIds, options = {}, ...by }: z.output<typeof jobRequest>): Record<string, unknown> {
  const { skipExisting, regenerateAll, maxRetries } = options;
  if (skipExisting && regenerateAll) {
    const message = 'skipExisting and regenerateAll exclude each other';
    throw new CronwrightError('invalid_input', message, { problems: [{ path: 'options', message }] });
  }
  const isAll = regenerateAll === true || skipExisting === false;
  return {
    objects: objectIds,
    mode: isAll ? 'regenerate_all' : 'skip_existing',
    ...(maxRetries === undefined ? {} : { max_retries: maxRetries }),
    ...(by.triggeredByUserId === undefined ? {} : { user_id: by.triggeredByUserId }),
    ...(by.triggeredByUserEmail === undefined ? {} : { user_email: by.triggeredByUserEmail }),
  };
}

function readStatuses(text: string | undefined): RunState[] | undefined {
  return text?.split(',').flatMap((word) => {
    const status = jobStatuses.find((known) => known === word.trim());
    if (status) return statesOfStatus(status, runStates);
    throw new CronwrightError('invalid_input', `"${word}" is not a status of a job`, {
      problems: [{ path: 'query.status', message: 'unknown status', got: word, expected: jobStatuses.join(', ') }],
    });
  });
}

function nowOf({ clock }: HttpContext): Date {
  return new Date(clock.now());
}

export const documentationCompatRoutes: readonly Route[] = [create, list, show, pause, resume, cancel];
