// Named SQL connections for steps: each opened on first use; `self` is Cronwright's own database, read-only.
import type { Json } from '../base/json.ts';
import { type Database, type Queryable, statement } from '../db/database.ts';
import { createPostgres } from '../db/postgres.ts';
import { CronwrightError } from '../domain/errors.ts';
import type { SqlConnection } from '../steps/api.ts';

export interface Connections {
  /** `readOnly`: what writes is refused by the database itself. */
  get(name: string, readOnly: boolean): Promise<SqlConnection>;
  close(): Promise<void>;
}

interface Opened {
  database: Database;
  url: string;
}

const setReadOnly = statement('set_read_only', 'set transaction read only', { prepare: false });

export function createConnections(options: {
  self: Database;
  configured: Readonly<Record<string, { url: string } | { env: string }>>;
  env: Readonly<Record<string, string | undefined>>;
}): Connections {
  const opened = new Map<string, Opened>();

  function open(name: string): Opened {
    const known = opened.get(name);
    if (known) return known;
    const source = Object.hasOwn(options.configured, name) ? options.configured[name] : undefined;
    if (source === undefined) {
      const names = ['self', ...Object.keys(options.configured)].join(', ');
      throw new CronwrightError('not_found', `there is no connection named ${name}; configured are: ${names}`);
    }
    const url = 'url' in source ? source.url : options.env[source.env];
    if (!url) {
      const variable = 'env' in source ? source.env : name;
      throw new CronwrightError(
        'invalid_config',
        `connection ${name}: the environment variable ${variable} is not set`,
      );
    }
    const database = createPostgres({ url, maxConnections: 4, applicationName: `cronwright ${name}` });
    const one = { database, url };
    opened.set(name, one);
    return one;
  }

  return {
    async get(name, readOnly) {
      if (name === 'self') return { query: (text, params) => askReadOnly(options.self, text, params) };
      const { database, url } = open(name);
      return {
        query: (text, params) => (readOnly ? askReadOnly : ask)(database, text, params),
        serverUrl: () => url,
      };
    },
    async close() {
      await Promise.all([...opened.values()].map(({ database }) => database.close()));
    },
  };
}

function askReadOnly(db: Database, text: string, params?: readonly Json[]): ReturnType<typeof ask> {
  return db.transaction(
    async (tx) => {
      await tx.query(setReadOnly);
      return ask(tx, text, params);
    },
    { idempotent: true },
  );
}

async function ask(
  db: Queryable,
  text: string,
  params: readonly Json[] = [],
): Promise<{ rows: Record<string, Json>[]; rowCount: number }> {
  const { rows, count } = await db.query(statement('step_sql', text, { prepare: false }), params);
  return { rows: JSON.parse(JSON.stringify(rows, plainValue)) as Record<string, Json>[], rowCount: count };
}

/** Bytes travel as base64; dates already are ISO texts here. */
function plainValue(_key: string, value: unknown): unknown {
  return value instanceof Uint8Array ? Buffer.from(value).toString('base64') : value;
}
