// One measured figure, and the table of all of them.
import Table from 'cli-table3';

export interface Figure {
  name: string;
  /** Median of the rounds. */
  value: number;
  unit: string;
  /** What DESIGN asks for, e.g. `≥ 10,000`. */
  target?: string;
  rounds: readonly number[];
  note?: string;
}

export function figure(
  name: string,
  unit: string,
  rounds: readonly number[],
  rest: { target?: string; note?: string } = {},
): Figure {
  return { name, unit, value: round(median(rounds)), rounds: rounds.map(round), ...rest };
}

export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = Math.min(sorted.length - 1, Math.floor(sorted.length * share));
  return sorted[at] ?? Number.NaN;
}

export function figuresTable(figures: readonly Figure[]): string {
  const table = new Table({
    head: ['figure', 'median', 'unit', 'target', 'rounds', 'note'],
    style: { head: [], border: [] },
    colAligns: ['left', 'right', 'left', 'right', 'left', 'left'],
  });
  for (const one of figures) {
    table.push([one.name, show(one.value), one.unit, one.target ?? '', one.rounds.map(show).join(' '), one.note ?? '']);
  }
  return table.toString();
}

function show(value: number): string {
  return value.toLocaleString('en-US');
}

/** Three digits are more than a shared machine can tell. */
function round(value: number): number {
  if (Math.abs(value) >= 100) return Math.round(value);
  return Math.abs(value) >= 10 ? Math.round(value * 10) / 10 : Math.round(value * 100) / 100;
}
