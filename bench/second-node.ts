// A node in a process of its own that carries out nothing: it enqueues when told to, and says when it did.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { databaseHooks } from '../src/app/database-events.ts';
import { startEngine } from '../src/app/engine.ts';
import { packageVersion } from '../src/app/package-version.ts';
import { loadSettings } from '../src/config/load-settings.ts';
import { createRunStarter } from '../src/control/start-run.ts';
import { openDatabase } from '../src/db/open-database.ts';
import { createEventBus } from '../src/observe/events.ts';
import { createRegistry } from '../src/steps/registry.ts';
import { createBenchPlugin } from './bench-plugin.ts';
import { benchHash, benchPipeline } from './bench-world.ts';

/** What it says: that it is there, and for each enqueue when it was asked for, in nanoseconds of the machine's clock. */
export type SecondNodeNews = { ready: true } | { askedAtNs: string };

const dataDir = await mkdtemp(join(tmpdir(), 'cronwright-bench-second-'));
const events = createEventBus();
const db = await openDatabase({ dataDir, databaseUrl: process.argv[2] ?? '', ...databaseHooks(events) });
const { artifactsDir: _, ...loaded } = await loadSettings({
  configDir: dataDir,
  env: { CRONWRIGHT_DATA_DIR: dataDir },
});
const definition = createBenchPlugin(() => undefined);
const pipeline = benchPipeline('single', 1);
const engine = await startEngine({
  db,
  settings: { ...loaded, queues: ['nowhere'] },
  registry: createRegistry([{ definition, source: { kind: 'built-in', specifier: 'bench' } }]),
  pipelines: { pipelines: [pipeline], hash: benchHash },
  env: {},
  events,
  version: packageVersion(),
  apiUrl: () => undefined,
  schedules: true,
});
const starter = createRunStarter(engine.control);

process.on('message', async (order: 'enqueue' | 'stop') => {
  if (order === 'enqueue') {
    const askedAtNs = String(process.hrtime.bigint());
    await starter.start(pipeline.id, {}, { tenant: 'default', actor: 'bench', origin: 'api' });
    process.send?.({ askedAtNs } satisfies SecondNodeNews);
    return;
  }
  await engine.stop(0);
  await db.close();
  await rm(dataDir, { recursive: true, force: true });
  process.disconnect();
});
process.send?.({ ready: true } satisfies SecondNodeNews);
