// What a model is told of the JSON that is wanted, and the check of what it gave: one schema for both.
import { type Json, StepError } from 'cronwright/plugin';
import { z } from 'zod';

export function jsonSchemaOf(schema: z.ZodType): { [key: string]: Json } {
  const { $schema: _draft, ...rest } = z.toJSONSchema(schema, { target: 'draft-7' });
  return JSON.parse(JSON.stringify(rest)) as { [key: string]: Json };
}

/** Transient: the next answer may fit. */
export function parseAnswer<S extends z.ZodType>(schema: S, data: Json): z.output<S> {
  const parsed = schema.safeParse(data);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const at = issue?.path.join('.') ?? '';
  throw new StepError('transient', `the answer does not fit: ${at === '' ? '' : `${at}: `}${issue?.message ?? ''}`, {
    name: 'InvalidAnswer',
  });
}
