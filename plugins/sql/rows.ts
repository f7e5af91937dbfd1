// sql.rows: a sensor that asks a database for the rows above the highest value of a column that it has seen.
import { defineSensor, type Json, type SensorEvent, StepError } from 'cronwright/plugin';
import { z } from 'zod';

const input = z.strictObject({
  connection: z.string().min(1).describe('A connection from the configuration; `self` is Cronwright’s own.'),
  text: z
    .string()
    .min(1)
    .max(100_000)
    .describe('A query for rows above $1 in the order of the column, at most $2 of them.')
    .meta({ 'x-cronwright-no-expressions': true }),
  column: z.string().min(1).describe('The column whose values rise; what was seen last is $1 of the next look.'),
  start: z.json().describe('$1 of the first look: a value below all there are.'),
  key: z.string().min(1).optional().describe('A column that names a row; default: `column`'),
});

const event = z.object({ row: z.record(z.string(), z.json()) });
type Row = Record<string, Json>;

export const rows = defineSensor({
  description: 'Tells the rows of a query that are new: those above the highest value that was seen',
  input,
  event,
  isolation: 'inline',
  async check(ctx, { connection, text, column, start, key = column }, last, { maxEvents }) {
    const sql = await ctx.sql(connection, { readOnly: true });
    const seen = last ?? (start as Json);
    // One more than may be told says whether there are more.
    const found = (await sql.query(text, [seen, maxEvents + 1])).rows;
    const told = found.length > maxEvents ? beforeCut(found, maxEvents, column) : found;
    const events = told.map((row): SensorEvent<z.infer<typeof event>> => {
      const name = valueIn(row, key);
      return { key: typeof name === 'string' ? name : JSON.stringify(name), data: { row } };
    });
    const highest = told.at(-1);
    const cursor = highest === undefined ? seen : valueIn(highest, column);
    return { cursor, events, more: told.length < found.length };
  },
});

/** Rows that share their value are told together: the next look begins above it. */
function beforeCut(found: readonly Row[], most: number, column: string): readonly Row[] {
  const next = JSON.stringify(valueIn(found[most] as Row, column));
  const end = found.slice(0, most).findLastIndex((row) => JSON.stringify(valueIn(row, column)) !== next) + 1;
  if (end > 0) return found.slice(0, end);
  const text = `more than ${most} rows have ${next} in column ${column}, so that no value comes between two looks`;
  throw new StepError('fatal', `${text}: raise max_runs_per_check, or take a column that tells rows apart`, {
    name: 'ColumnNotUnique',
  });
}

function valueIn(row: Row, column: string): Json {
  const value = row[column];
  if (value !== undefined && value !== null) return value;
  const got = value === null ? 'a row has null in it' : `columns are ${Object.keys(row).join(', ')}`;
  throw new StepError('fatal', `column ${column} has no value: ${got}`, { name: 'MissingColumn' });
}
