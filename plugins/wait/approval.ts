// Step wait.approval: asks people whether the run may go on.
import { defineStep, type Json, StepError } from 'cronwright/plugin';
import { z } from 'zod';
import { durationText, millisecondsOf } from './duration.ts';

const input = z.strictObject({
  message: z.string().min(1).max(4_000).describe('What is asked, in a sentence.'),
  form: z.json().optional().describe('What helps to decide: facts, or a JSON Schema of the data that is wanted.'),
  approvers: z.array(z.string().min(1).max(200)).min(1).max(100).optional().describe('Actors who may answer.'),
  not_by_starter: z.boolean().default(false).describe('Whoever started the run may not answer.'),
  timeout: durationText.optional().describe('How long it waits; default: for ever.'),
  on_timeout: z.enum(['fail', 'approve', 'reject']).default('fail').describe('What time answers.'),
  on_reject: z.enum(['fail', 'continue']).default('fail').describe('Whether a rejection fails the step.'),
});

const output = z.object({
  approved: z.boolean(),
  by: z.string().nullable().describe('The actor; null where time has answered.'),
  at: z.string().describe('ISO 8601 in UTC.'),
  comment: z.string().nullable().describe('`comment` of the data, where it is a text.'),
  data: z.json().describe('What came with the answer.'),
});

export const approval = defineStep({
  description: 'Waits until a person approves or rejects.',
  input,
  output,
  effects: 'none',
  idempotency: 'natural',
  isolation: 'inline',
  weight: 'light',
  async run(ctx, { message, form, approvers, not_by_starter: notByStarter, timeout, on_timeout: onTimeout, ...given }) {
    if (ctx.dryRun) {
      ctx.log.info(`dry run: would ask: ${message}`);
      return { approved: true, by: null, at: new Date().toISOString(), comment: null, data: null };
    }
    const answer = await ctx.suspend({
      kind: 'approval',
      message,
      onTimeout,
      startedByMayAnswer: !notByStarter,
      ...(form === undefined ? {} : { form: form as Json }),
      ...(approvers === undefined ? {} : { approvers }),
      ...(timeout === undefined ? {} : { timeoutMs: millisecondsOf(timeout) }),
    });
    const approved = answer.decision === 'approve';
    const comment = commentOf(answer.data);
    if (!approved && given.on_reject === 'fail') {
      const who = answer.by === null ? 'nobody approved in time' : `rejected by ${answer.by}`;
      throw new StepError('fatal', comment === null ? who : `${who}: ${comment}`, { name: 'Rejected' });
    }
    return { approved, by: answer.by, at: answer.at, comment, data: answer.data };
  },
});

function commentOf(data: Json): string | null {
  if (typeof data !== 'object' || data === null || Array.isArray(data)) return null;
  return typeof data.comment === 'string' ? data.comment : null;
}
