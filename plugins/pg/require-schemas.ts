// Schemas that are asked for by name have to be there: a misspelt one would otherwise be an empty answer.
import { StepError } from 'cronwright/plugin';

/** Throws a fatal `SchemaNotFound` that names those in which nothing was found. */
export function requireSchemas(wanted: readonly string[] | undefined, found: ReadonlySet<string>): void {
  const missing = (wanted ?? []).filter((schema) => !found.has(schema));
  if (missing.length === 0) return;
  throw new StepError(
    'fatal',
    `nothing to see in the schema ${missing.join(', ')}: does it exist, and may this user read it?`,
    {
      name: 'SchemaNotFound',
    },
  );
}
