// Chooses the database: the PostgreSQL a URL names, or PGlite in the data directory.
import { join } from 'node:path';
import type { Database, Isolation } from './database.ts';
import type { DatabaseHooks } from './database-event.ts';
import { createPglite } from './pglite.ts';
import { createPostgres } from './postgres.ts';

export interface OpenDatabaseOptions extends DatabaseHooks {
  /** postgres:// or postgresql://; without it, PGlite in `<dataDir>/db`. */
  databaseUrl?: string;
  dataDir: string;
  maxConnections?: number;
  isolation?: Isolation;
  applicationName?: string;
}

/**
 * Opens PGlite, or prepares for a PostgreSQL, which is connected at the first use (see waitForDatabase). Throws
 * invalid_config, without the password, where the URL is of another kind.
 */
export async function openDatabase(options: OpenDatabaseOptions): Promise<Database> {
  const { databaseUrl, dataDir, ...rest } = options;
  if (databaseUrl === undefined || databaseUrl === '') return createPglite({ ...rest, dataDir: join(dataDir, 'db') });
  return createPostgres({ ...rest, url: databaseUrl });
}
