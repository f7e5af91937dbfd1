// A process that has PGlite open and writes a row after the other, until it is killed; run by pglite.test.ts.
import { statement } from '../../src/db/database.ts';
import { createPglite } from '../../src/db/pglite.ts';

const [dataDir = ''] = process.argv.slice(2);
const db = await createPglite({ dataDir });
await db.query(statement('make', 'create table if not exists acknowledged (id int4 primary key)'));
const insert = statement('acknowledge', 'insert into acknowledged values ($1::int4)');
process.send?.({ ready: true });
for (let id = 1; ; id++) {
  await db.query(insert, [id]);
  process.send?.({ id });
}
