// /jobs: the routes of an older worksheet service, over the same reads and control verbs.
import { z } from 'zod';
import { signalRun } from '../../control/signal-run.ts';
import { getWorksheetJob, requireWorksheetRun, worksheetJob } from '../../reads/worksheet-job.ts';
import { defineRoute, type Route } from '../route.ts';
import { idParams, tags } from './fields.ts';

const show = defineRoute({
  method: 'GET',
  path: '/jobs/{id}',
  operationId: 'getWorksheetJob',
  summary: 'Older form: a worksheet from its prompt to its PDF; also by the id it had before it was taken over',
  tag: tags.older,
  params: idParams,
  answer: { status: 200, description: 'the job', schema: worksheetJob },
  problems: ['not_found'],
  async handle({ context }, { params, caller }) {
    return { body: await getWorksheetJob(context.db, caller.tenant, params.id) };
  },
});

const edit = defineRoute({
  method: 'POST',
  path: '/jobs/{id}/latex',
  operationId: 'editWorksheetLatex',
  summary: 'Older form: put edited LaTeX in place of what does not compile; it is compiled again',
  tag: tags.older,
  params: idParams,
  body: z.strictObject({ latex: z.string().min(1).max(524_288) }),
  answer: { status: 200, description: 'the job, as it goes on', schema: worksheetJob },
  problems: ['forbidden', 'not_found', 'conflict'],
  async handle({ context }, { params, body, caller }) {
    const { id, waits } = await requireWorksheetRun(context.db, caller.tenant, params.id);
    // Asked because its error has a rule, or because nothing was left to try: the same edit is called differently.
    const asked = waits.find(({ state, form }) => state === 'open' && hasSource(form));
    const decision = asked?.choices?.includes('retry') ? 'retry' : 'manual_edit';
    const which = asked === undefined ? { step: 'compile' } : { step: asked.step, key: asked.key };
    await signalRun(context.control, caller, { id, ...which, decision, data: { with: { source: body.latex } } });
    return { body: await getWorksheetJob(context.db, caller.tenant, id) };
  },
});

/** Other steps of the run may ask too. */
function hasSource(form: unknown): boolean {
  return typeof (form as { input?: { source?: unknown } } | null)?.input?.source === 'string';
}

export const jobCompatRoutes: readonly Route[] = [show, edit];
