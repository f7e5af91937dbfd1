// /runs: which runs there are, what they did and left behind, and ending or repeating them.
import { z } from 'zod';
import { cancelRun } from '../../control/cancel-run.ts';
import { forkRun } from '../../control/fork-run.ts';
import { retryRun } from '../../control/retry-run.ts';
import { rollbackRun } from '../../control/rollback-run.ts';
import { CronwrightError } from '../../domain/errors.ts';
import { isMediaType } from '../../domain/media-type.ts';
import { type Origin, origins, runStates } from '../../domain/run.ts';
import { diffRuns, runsDiff } from '../../reads/diff-runs.ts';
import { explainRun } from '../../reads/explain-run.ts';
import { explanation } from '../../reads/explain-view.ts';
import { getRun, runDetail } from '../../reads/get-run.ts';
import { listRuns, readStates } from '../../reads/list-runs.ts';
import { artifactContent, artifactView, runArtifacts } from '../../reads/run-artifacts.ts';
import { checkpointView, runCheckpoints } from '../../reads/run-checkpoints.ts';
import { eventView, runEvents } from '../../reads/run-events.ts';
import { logPage, runLogs } from '../../reads/run-logs.ts';
import { runSteps, stepView } from '../../reads/run-steps.ts';
import { runView } from '../../reads/run-view.ts';
import { anyJson } from '../../reads/view-fields.ts';
import { textResponse } from '../response.ts';
import { defineRoute, type Route } from '../route.ts';
import { idParams, instantText, pageFields, pageOf, pageQuery, tags, wholeNumber, yesOrNo } from './fields.ts';
import { startedRun } from './pipeline-routes.ts';

const list = defineRoute({
  method: 'GET',
  path: '/api/v1/runs',
  operationId: 'listRuns',
  summary: 'Runs, newest first',
  tag: tags.runs,
  query: z.strictObject({
    ...pageFields,
    state: z
      .string()
      .optional()
      .describe(`with commas: ${runStates.join(', ')}`),
    pipeline: z.string().optional(),
    schedule: z.string().optional().describe('pipeline.schedule'),
    origin: z
      .string()
      .optional()
      .describe(`with commas: ${origins.join(', ')}`),
    from: instantText.optional().describe('made at or after'),
    to: instantText.optional().describe('made before'),
    tenant: z.string().optional().describe('instead of the header Cronwright-Tenant; * for all'),
  }),
  answer: { status: 200, description: 'a page of runs', schema: pageOf(runView) },
  async handle({ context }, { query, caller }) {
    const { state, origin, tenant = caller.tenant, ...filter } = query;
    return {
      body: await listRuns(context.db, {
        ...filter,
        tenant: tenant === '*' ? null : tenant,
        states: readStates(state),
        origins: readOrigins(origin),
      }),
    };
  },
});

const show = defineRoute({
  method: 'GET',
  path: '/api/v1/runs/{id}',
  operationId: 'getRun',
  summary: 'One run: state, progress, steps by state, error and lineage',
  tag: tags.runs,
  params: idParams,
  answer: { status: 200, description: 'the run', schema: runDetail },
  problems: ['not_found'],
  async handle({ context }, { params, caller }) {
    return { body: await getRun(context.db, caller.tenant, params.id) };
  },
});

const explain = defineRoute({
  method: 'GET',
  path: '/api/v1/runs/{id}/explain',
  operationId: 'explainRun',
  summary: 'Why a run does not run: what keeps it, who holds what it needs, when it is likely to start',
  tag: tags.runs,
  params: idParams,
  answer: { status: 200, description: 'as of one instant', schema: explanation },
  problems: ['not_found'],
  async handle({ context }, { params, caller }) {
    return { body: await explainRun(context.db, caller.tenant, params.id) };
  },
});

const steps = defineRoute({
  method: 'GET',
  path: '/api/v1/runs/{id}/steps',
  operationId: 'listRunSteps',
  summary: 'The steps of a run in the order of its pipeline',
  tag: tags.runs,
  params: idParams,
  answer: { status: 200, description: 'all steps, begun or not', schema: pageOf(stepView) },
  problems: ['not_found'],
  async handle({ context }, { params, caller }) {
    return { body: { items: await runSteps(context.db, caller.tenant, params.id), next_cursor: null } };
  },
});

const events = defineRoute({
  method: 'GET',
  path: '/api/v1/runs/{id}/events',
  operationId: 'listRunEvents',
  summary: 'What happened to a run, in order; numbers are dense',
  tag: tags.runs,
  params: idParams,
  query: z.strictObject({
    after: wholeNumber(0, 2_147_483_647).default(0).describe('only events with a greater seq'),
    cursor: wholeNumber(0, 2_147_483_647).optional().describe('next_cursor: the same as after'),
    limit: wholeNumber(1, 1_000).default(500),
  }),
  answer: { status: 200, description: 'a page of events', schema: pageOf(eventView) },
  problems: ['not_found'],
  async handle({ context }, { params, query, caller }) {
    const options = { after: query.cursor ?? query.after, limit: query.limit };
    return { body: await runEvents(context.db, caller.tenant, params.id, options) };
  },
});

const logs = defineRoute({
  method: 'GET',
  path: '/api/v1/runs/{id}/logs',
  operationId: 'listRunLogs',
  summary: 'What the steps of a run said; with follow=true to be asked again and again',
  tag: tags.runs,
  params: idParams,
  query: z.strictObject({
    cursor: pageFields.cursor,
    limit: wholeNumber(1, 5_000).default(500).describe('lines; whole chunks are returned, so it may be a few more'),
    step: z.string().optional(),
    tail: wholeNumber(1, 5_000).optional().describe('only the last so many lines'),
    follow: yesOrNo.default(false).describe('next_cursor stays until the run has ended and all was read'),
  }),
  answer: { status: 200, description: 'a page of lines', schema: logPage },
  problems: ['not_found'],
  async handle({ context }, { params, query, caller }) {
    return { body: await runLogs(context.db, caller.tenant, params.id, query) };
  },
});

const checkpoints = defineRoute({
  method: 'GET',
  path: '/api/v1/runs/{id}/checkpoints',
  operationId: 'listRunCheckpoints',
  summary: 'Completed steps and items, with their outputs',
  tag: tags.runs,
  params: idParams,
  query: pageQuery,
  answer: { status: 200, description: 'a page of checkpoints', schema: pageOf(checkpointView) },
  problems: ['not_found'],
  async handle({ context }, { params, query, caller }) {
    return { body: await runCheckpoints(context.db, caller.tenant, params.id, query) };
  },
});

const artifacts = defineRoute({
  method: 'GET',
  path: '/api/v1/runs/{id}/artifacts',
  operationId: 'listRunArtifacts',
  summary: 'Files that the steps of a run left behind',
  tag: tags.runs,
  params: idParams,
  query: pageQuery,
  answer: { status: 200, description: 'a page of artifacts', schema: pageOf(artifactView) },
  problems: ['not_found'],
  async handle({ context }, { params, query, caller }) {
    return { body: await runArtifacts(context.db, caller.tenant, params.id, query) };
  },
});

const artifact = defineRoute({
  method: 'GET',
  path: '/api/v1/runs/{id}/artifacts/{artifact_id}',
  operationId: 'getArtifact',
  summary: 'The content of one artifact, as a download',
  tag: tags.runs,
  params: z.strictObject({ id: z.string(), artifact_id: z.string() }),
  answer: { status: 200, description: 'its bytes, with its own media type', schema: z.string() },
  problems: ['not_found'],
  async handle({ context }, { params, caller }) {
    const { artifact, chunks } = await artifactContent(
      { db: context.db, files: context.artifactFiles },
      caller.tenant,
      params.id,
      params.artifact_id,
    );
    // An older version may have stored what no header can hold.
    const mediaType = isMediaType(artifact.media_type) ? artifact.media_type : 'application/octet-stream';
    return textResponse(ReadableStream.from(chunks) as ReadableStream<Uint8Array>, mediaType, 200, {
      'content-length': String(artifact.size),
      'content-disposition': `attachment; filename*=UTF-8''${encodeRfc8187(artifact.name)}`,
      etag: `"${artifact.sha256}"`,
    });
  },
});

const cancel = defineRoute({
  method: 'POST',
  path: '/api/v1/runs/{id}/cancel',
  operationId: 'cancelRun',
  summary: 'Cancel a run: at once, or by asking its worker (202)',
  tag: tags.runs,
  params: idParams,
  body: z.strictObject({
    reason: z.string().max(1_000).optional(),
    rollback: z.boolean().optional().describe('undo what it did, newest first; it ends rolled_back'),
  }),
  answer: {
    status: 200,
    description: 'cancelled; 202 with requested: cancel or rollback where a worker has to obey first',
    schema: z.object({
      id: z.uuid(),
      state: z.enum(runStates),
      requested: z.enum(['cancel', 'rollback']).nullable(),
    }),
  },
  problems: ['not_found', 'conflict'],
  async handle({ context }, { params, body, caller }) {
    const { tenant, actor } = caller;
    const run = await cancelRun(context.control, { tenant, id: params.id, actor, ...body });
    return { body: run, status: run.requested === null ? 200 : 202 };
  },
});

const retry = defineRoute({
  method: 'POST',
  path: '/api/v1/runs/{id}/retry',
  operationId: 'retryRun',
  summary: 'Make a new run that goes on where this one failed',
  tag: tags.runs,
  params: idParams,
  body: z.strictObject({ force: z.boolean().optional().describe('also where it was retried already') }),
  answer: {
    status: 202,
    description: 'the new run',
    schema: startedRun.extend({ parent_id: z.uuid(), kept_steps: z.array(z.string()) }).meta({ id: 'RetriedRun' }),
  },
  problems: ['not_found', 'conflict', 'limit_reached'],
  async handle({ starter }, { params, body, caller }) {
    const run = await retryRun(starter, params.id, caller, body);
    return { body: run, headers: { location: `/api/v1/runs/${run.id}` } };
  },
});

const fork = defineRoute({
  method: 'POST',
  path: '/api/v1/runs/{id}/fork',
  operationId: 'forkRun',
  summary: 'Make a new run that keeps completed steps of this one, with edited inputs or outputs',
  tag: tags.runs,
  params: idParams,
  body: z.strictObject({
    from: z.string().max(300).optional().describe('begin here; default: the first step that did not complete'),
    inputs: z.record(z.string(), anyJson).optional().describe('laid over the inputs of the run'),
    outputs: z
      .record(z.string(), anyJson)
      .optional()
      .describe('by step: in place of what a kept step said, ≤ 1 MB each'),
    priority: z.int().min(1).max(10).optional().describe('default: that of the run'),
    dry_run: z.boolean().optional().describe('default: as the run'),
    version: z.enum(['same', 'current']).optional().describe('of the pipeline: that of the run, or the one in force'),
    conversation: z
      .enum(['kept', 'whole'])
      .optional()
      .describe('what its steps find said: by kept steps (default), or all that was'),
  }),
  // Several outputs of the greatest size.
  bodyLimit: 8_388_608,
  answer: {
    status: 202,
    description: 'the new run',
    schema: startedRun
      .extend({
        parent_id: z.uuid(),
        kept_steps: z.array(z.string()),
        edited: z.object({ inputs: z.array(z.string()), outputs: z.array(z.string()) }),
      })
      .meta({ id: 'ForkedRun' }),
  },
  problems: ['not_found', 'conflict', 'limit_reached'],
  async handle({ starter }, { params, body, caller }) {
    const { dry_run: dryRun, ...request } = body;
    const run = await forkRun(starter, params.id, { ...request, dryRun }, caller);
    return { body: run, headers: { location: `/api/v1/runs/${run.id}` } };
  },
});

const rollback = defineRoute({
  method: 'POST',
  path: '/api/v1/runs/{id}/rollback',
  operationId: 'rollbackRun',
  summary: 'Undo what a run did: of a live run all or down to a step, of an ended run all, by a new run',
  tag: tags.runs,
  params: idParams,
  body: z.strictObject({
    to: z.string().max(300).optional().describe('a completed step to keep, with all it needs; the run is paused there'),
    reason: z.string().max(1_000).optional(),
  }),
  answer: {
    status: 202,
    description: 'a worker will; of an ended run the new run that does, with parent_id',
    schema: z.object({
      id: z.uuid(),
      state: z.enum(runStates),
      requested: z.literal('rollback').nullable().describe('null: it goes on with a rollback that had failed'),
      parent_id: z.uuid().nullable(),
    }),
  },
  problems: ['not_found', 'conflict', 'limit_reached'],
  async handle({ starter }, { params, body, caller }) {
    const run = await rollbackRun(starter, params.id, body, caller);
    return { body: run, headers: { location: `/api/v1/runs/${run.id}` } };
  },
});

const diff = defineRoute({
  method: 'GET',
  path: '/api/v1/runs/{id}/diff',
  operationId: 'diffRuns',
  summary: 'A run beside another one: version, inputs, and what each step came to',
  tag: tags.runs,
  params: idParams,
  query: z.strictObject({ with: z.string().optional().describe('the run before; default: its parent') }),
  answer: { status: 200, description: 'what is the same and what is not', schema: runsDiff },
  problems: ['not_found'],
  async handle({ context }, { params, query, caller }) {
    return { body: await diffRuns(context.db, caller.tenant, params.id, query.with) };
  },
});

function readOrigins(text: string | undefined): Origin[] | undefined {
  return text?.split(',').map((word) => {
    const origin = origins.find((known) => known === word.trim());
    if (origin) return origin;
    throw new CronwrightError('invalid_input', `"${word}" is not an origin of a run`, {
      problems: [{ path: 'query.origin', message: 'unknown origin', got: word, expected: origins.join(', ') }],
    });
  });
}

/** File names in headers: RFC 8187. */
function encodeRfc8187(name: string): string {
  return encodeURIComponent(name).replace(/['()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

export const runRoutes: readonly Route[] = [
  list,
  show,
  explain,
  steps,
  events,
  logs,
  checkpoints,
  artifacts,
  artifact,
  cancel,
  retry,
  rollback,
  fork,
  diff,
];
