// The inputs that several routes share.
import { z } from 'zod';
import { says } from '../../config/schema-parts.ts';

export const tags = {
  pipelines: 'Pipelines',
  runs: 'Runs',
  costs: 'Costs and conversations',
  schedules: 'Schedules',
  sensors: 'Sensors',
  queue: 'Queue and nodes',
  cron: 'Cron',
  live: 'Live',
  older: 'Older forms',
} as const;

export const idParams = z.strictObject({ id: z.string().min(1).max(300) });

export const instantText = z.iso
  .datetime({ offset: true, error: says('not an instant', 'an instant such as 2026-01-31T12:00:00Z') })
  .transform((text) => new Date(text))
  .meta({ type: 'string', format: 'date-time' });

export const pageFields = {
  cursor: z.string().max(500).optional().describe('next_cursor of the page before'),
  limit: z.coerce.number().int().min(1).max(500).default(50),
};

export const pageQuery = z.strictObject(pageFields);

export function wholeNumber(least: number, most: number) {
  return z.coerce.number().int().min(least).max(most);
}

export function pageOf<Item extends z.ZodType>(item: Item) {
  return z.object({
    items: z.array(item),
    next_cursor: z.string().nullable().describe('cursor of the next page; null at the end'),
  });
}

export const yesOrNo = z.enum(['true', 'false']).transform((word) => word === 'true');
