// Evaluated values that may be stored: secrets stay references, and nothing in them is ever evaluated again.

/**
 * A value that may be stored: where its secrets belong is kept beside it, with the texts around them. Nothing in the value
 * itself is ever evaluated again, so that what came from outside cannot name a secret.
 */
export interface KeptValue {
  readonly value: unknown;
  readonly secrets: readonly KeptSecret[];
}

export interface KeptSecret {
  readonly path: readonly (string | number)[];
  readonly parts: readonly (string | { readonly secret: string })[];
}

/** The value with its secrets in their places; `secrets` holds those that it names. */
export function restoreKept({ value, secrets: places }: KeptValue, secrets: Readonly<Record<string, string>>): unknown {
  let restored = structuredClone(value);
  for (const { path, parts } of places) {
    const text = parts.map((part) => (typeof part === 'string' ? part : (secrets[part.secret] ?? ''))).join('');
    const [last, ...above] = [...path].reverse();
    if (last === undefined) {
      restored = text;
      continue;
    }
    let parent = restored as Record<string | number, unknown>;
    for (const key of above.reverse()) parent = parent[key] as Record<string | number, unknown>;
    parent[last] = text;
  }
  return restored;
}

/** Names of the secrets that a kept value needs. */
export function secretsOfKept({ secrets }: KeptValue): string[] {
  return [
    ...new Set(secrets.flatMap(({ parts }) => parts.flatMap((part) => (typeof part === 'string' ? [] : part.secret)))),
  ];
}
