// Lays out rows for people: aligned columns, a dim heading, no frame.
import Table from 'cli-table3';
import type { TextSink } from './cli-context.ts';
import { plainText } from './plain-text.ts';

export interface Column<Row> {
  heading: string;
  cell(row: Row): string;
  align?: 'left' | 'right';
}

const frame = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '  ',
};

/** The rows as text, without a line end after the last. Columns in which every cell is empty are left out. */
export function renderTable<Row>(
  sink: Pick<TextSink, 'colors'>,
  columns: readonly Column<Row>[],
  rows: readonly Row[],
): string {
  const cells = rows.map((row) => columns.map((column) => column.cell(row)));
  const shown = columns.map((_, index) => cells.some((line) => line[index] !== ''));
  const keep = <T>(list: readonly T[]): T[] => list.filter((_, index) => shown[index]);
  const table = new Table({
    chars: frame,
    head: keep(columns).map((column) => sink.colors.dim(column.heading)),
    colAligns: keep(columns).map((column) => column.align ?? 'left'),
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0, compact: true },
  });
  table.push(...cells.map((line) => keep(line)));
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

/** A cell of foreign text: one line, no control characters, at most `width` characters. */
export function clip(text: string, width: number): string {
  const line = plainText(text).replace(/\s+/g, ' ').trim();
  return line.length <= width ? line : `${line.slice(0, width - 1)}…`;
}
