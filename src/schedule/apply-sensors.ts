// Brings the database's sensors to what the configuration says: new ones look at once, gone ones are forgotten.
import { isDeepStrictEqual } from 'node:util';
import { uuidv7 } from 'uuidv7';
import type { Database } from '../db/database.ts';
import type { SensorDefinition } from '../domain/sensor.ts';
import { loadSensors, removeSensors, writeSensors } from '../queue/register-sensors.ts';

/** Writes only what differs. */
export async function applySensors(db: Database, sensors: readonly SensorDefinition[]): Promise<void> {
  const stored = new Map((await loadSensors(db)).map((row) => [`${row.tenant}/${row.id}`, row]));
  const writes: { definition: SensorDefinition; generation: string }[] = [];
  for (const definition of sensors) {
    const key = `${definition.tenant}/${definition.id}`;
    const row = stored.get(key);
    stored.delete(key);
    // As it comes back from the database.
    if (row && isDeepStrictEqual(row.definition, JSON.parse(JSON.stringify(definition)))) continue;
    writes.push({ definition, generation: uuidv7() });
  }
  await writeSensors(db, writes);
  await removeSensors(db, [...stored.values()]);
}
