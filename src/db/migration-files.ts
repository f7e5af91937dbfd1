// The migrations that ship with this version: numbered SQL files and their checksums.
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { packageRoot } from '../base/package-root.ts';
import { CronwrightError } from '../domain/errors.ts';

export interface Migration {
  /** 1, 2, 3 … without gaps. */
  number: number;
  /** The file's name: `0001_first.sql`. */
  name: string;
  text: string;
  /** SHA-256 in hex; carriage returns do not count, so that a checkout on Windows is the same. */
  checksum: string;
}

const migrationsDirectory: string = join(packageRoot, 'src', 'db', 'migrations');

/** Reads all migrations in order. Throws invalid_config where names or numbers are wrong. */
export async function readMigrations(directory: string = migrationsDirectory): Promise<Migration[]> {
  const names = (await readdir(directory)).filter((name) => name.endsWith('.sql')).sort();
  return Promise.all(
    names.map(async (name, index) => {
      const digits = /^(\d{4})_[a-z0-9_]+\.sql$/.exec(name)?.[1];
      if (digits === undefined || Number(digits) !== index + 1) {
        const expected = `${String(index + 1).padStart(4, '0')}_words.sql`;
        throw new CronwrightError(
          'invalid_config',
          `the migration ${name} in ${directory} is misnamed, expected ${expected}`,
        );
      }
      const text = (await readFile(join(directory, name), 'utf8')).replaceAll('\r', '');
      return { number: index + 1, name, text, checksum: createHash('sha256').update(text).digest('hex') };
    }),
  );
}
