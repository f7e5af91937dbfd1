// The throw-away process that makes a new PGlite directory: initdb needs 800 MB, which the daemon shall not keep.
import { PGlite } from '@electric-sql/pglite';

const directory = process.argv[2];
if (directory === undefined) throw new Error('usage: pglite-init DIRECTORY');

const db = await PGlite.create({ dataDir: directory });
await db.close();
