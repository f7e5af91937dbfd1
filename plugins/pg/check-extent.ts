// Whether what was asked for is there and is not too much: a misspelt schema would otherwise be an empty answer.
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

/** Throws a fatal `CatalogTooLarge` that says how many objects there are. */
export function requireAtMost(count: number, most: number): void {
  if (count <= most) return;
  const text = `the catalogue has ${count} objects, allowed are ${most} (max_objects)`;
  throw new StepError('fatal', text, { name: 'CatalogTooLarge' });
}
