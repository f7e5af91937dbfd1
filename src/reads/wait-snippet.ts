// What a failed program was given, around the place of its error, for whoever is asked what to do.

/** Of a question's form: what the error calls its `snippet`. */
export function snippetOf(form: unknown): string | undefined {
  const details = (form as { error?: { details?: unknown } } | null | undefined)?.error?.details;
  const snippet = (details as { snippet?: unknown } | null | undefined)?.snippet;
  return typeof snippet === 'string' && snippet !== '' ? snippet.slice(0, 4_000) : undefined;
}
