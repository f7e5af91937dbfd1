// A pause of a pipeline or a tenant as everyone outside sees it.
import { z } from 'zod';
import type { Pause } from '../queue/pauses.ts';
import { instant, maybeInstant } from './view-fields.ts';

export const pauseView = z
  .object({
    tenant: z.string(),
    pipeline: z.string().nullable().describe('null: all of the tenant'),
    at: instant.describe('since when'),
    by: z.string(),
    reason: z.string().nullable(),
    until: maybeInstant.describe('ends by itself then; null: when somebody resumes it'),
  })
  .meta({ id: 'Pause' });

export type PauseView = z.infer<typeof pauseView>;

export function toPauseView({ tenant, pipeline, at, by, reason, until }: Pause): PauseView {
  return { tenant, pipeline, at, by, reason, until };
}
