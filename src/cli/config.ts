// `cronwright config`: the settings a daemon works with, and where each of them comes from.
import type { DescribedSetting } from '../config/describe-settings.ts';
import type { CliContext } from './cli-context.ts';
import { connect, type DaemonOptions } from './connect.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import { printJson, printLine } from './print.ts';
import { type Column, renderTable } from './table.ts';

interface ConfigAnswer {
  settings: DescribedSetting[];
  config_hash: string;
}

export async function config(context: CliContext, options: DaemonOptions & { set?: boolean }): Promise<ExitCode> {
  const answer = await connect(context, options).get<ConfigAnswer>('/config');
  if (options.json) {
    printJson(context, answer);
    return exitCodes.done;
  }
  const { dim } = context.stdout.colors;
  const shown = options.set ? answer.settings.filter((one) => one.source !== 'default') : answer.settings;
  printLine(context, renderTable(context.stdout, columnsOf(dim), shown));
  printLine(context, `${dim('pipelines in force')} ${answer.config_hash.slice(0, 16)}`);
  return exitCodes.done;
}

function columnsOf(dim: (text: string) => string): Column<DescribedSetting>[] {
  return [
    { heading: 'setting', cell: (one) => one.key },
    { heading: 'value', cell: (one) => showValue(one.value) },
    { heading: 'from', cell: (one) => (one.source === 'default' ? dim(one.source) : one.source) },
  ];
}

/** A list with commas, an object as JSON; what is not set is a dash. */
function showValue(value: unknown): string {
  if (value === null || value === undefined) return '—';
  if (Array.isArray(value)) return value.length === 0 ? '—' : value.map(showValue).join(', ');
  if (typeof value !== 'object') return String(value);
  return Object.keys(value).length === 0 ? '—' : JSON.stringify(value);
}
