// A subtask, the four categories there are, and the same as a schema for models.
import type { Json } from 'cronwright/plugin';
import { z } from 'zod';

export const categories = ['DATA_MODEL', 'SERVICE', 'HTTP_API', 'TESTING'] as const;
export type Category = (typeof categories)[number];

export const priorities = ['high', 'medium', 'low'] as const;
export type Priority = (typeof priorities)[number];

const text = z.string().trim().min(1).max(2_000);

export const subtask = z.strictObject({
  id: z
    .string()
    .regex(/^[a-z0-9]+(?:-[a-z0-9]+)*$/, 'expected lower case words joined by hyphens')
    .max(100),
  category: z.enum(categories),
  title: text.max(200),
  description: text,
  requirements: z.array(text).min(1).max(300),
  dependencies: z.array(z.string()).max(100).describe('Ids of subtasks that have to be done before'),
  estimated_effort_hours: z.number().positive().max(1_000),
  priority: z.enum(priorities),
});
export type Subtask = z.infer<typeof subtask>;

export const task = z.strictObject({
  title: z.string().trim().min(1).max(300),
  description: z.string().trim().min(1).max(50_000),
  requirements: z.array(text).max(200).default([]),
});
export type Task = z.infer<typeof task>;

export const enrichedSubtask = subtask.extend({
  tech_stack: z.array(text.max(100)).max(50),
  coding_standards: z.array(text.max(300)).max(50),
  project_rules: z.record(z.string(), z.json()),
  best_practices: z.array(text.max(500)).min(1).max(50),
});
export type EnrichedSubtask = z.infer<typeof enrichedSubtask>;

/** What a model is asked for: JSON Schema as providers take it. */
export function schemaOf(name: string, schema: z.ZodType): { name: string; schema: { [key: string]: Json } } {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { target: 'draft-7', io: 'output' });
  return { name, schema: rest as { [key: string]: Json } };
}
