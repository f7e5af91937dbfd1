// Finds the value of a secret by its name; values live in the environment or in files, never in the database.
import { readFile } from 'node:fs/promises';

export type SecretSource = { env: string } | { file: string };

export interface Secrets {
  /** Undefined where there is none. */
  get(name: string): Promise<string | undefined>;
}

/** A secret that is not listed is the environment variable `CRONWRIGHT_SECRET_<NAME>`. Files are read anew at each call. */
export function createSecrets(
  sources: Readonly<Record<string, SecretSource>>,
  env: Readonly<Record<string, string | undefined>>,
): Secrets {
  return {
    async get(name) {
      const source = Object.hasOwn(sources, name) ? sources[name] : undefined;
      if (source === undefined) return env[`CRONWRIGHT_SECRET_${name.toUpperCase()}`];
      if ('env' in source) return env[source.env];
      return (await readFile(source.file, 'utf8')).replace(/\r?\n$/, '');
    },
  };
}
