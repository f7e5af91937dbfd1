// The report of a job as a Markdown page.
import type { JobReport } from './job-figures.ts';
import { cell, code } from './markdown.ts';

export function reportPage(report: JobReport): string {
  const { user_id: id, user_email: email } = report.started_by;
  const by = [id, email].filter((one) => one !== null).join(', ');
  const rate = report.success_rate === null ? 'none was tried' : `${report.success_rate} %`;
  const facts = [
    ['Job', code(report.job_id, true)],
    ['Status', report.status],
    ['Started by', by === '' ? 'not said' : cell(by)],
    ['Objects', String(report.total)],
    ['Processed', String(report.processed)],
    ['Failed', String(report.failed)],
    ['Skipped', String(report.skipped)],
    ['Success rate', rate],
    ['Duration', seconds(report.duration_ms)],
    ['Average per object', seconds(report.average_ms)],
    ['Tokens', `${report.total_tokens} (${report.prompt_tokens} prompt, ${report.completion_tokens} completion)`],
    ['Cost', dollars(report.usd)],
    ['Estimate', report.estimate_usd === null ? 'none' : dollars(report.estimate_usd)],
    ['Cost by estimate', report.ratio === null ? 'unknown' : String(report.ratio)],
  ];
  const objects = report.objects.map((one) => [
    code(one.id, true),
    one.status,
    one.version === null ? '' : String(one.version),
    seconds(one.duration_ms),
    String(one.prompt_tokens),
    String(one.completion_tokens),
    dollars(one.usd),
    one.error === null ? '' : cell(one.error),
  ]);
  const layers = report.layers.map((one) => [
    one.name,
    String(one.objects),
    seconds(one.duration_ms),
    String(one.prompt_tokens),
    String(one.completion_tokens),
    dollars(one.usd),
  ]);
  const spent = ['prompt tokens', 'completion tokens', 'cost'];
  const blocks = [
    '# Documentation of the database',
    table(['', ''], facts),
    '## Cost by layer',
    layers.length === 0 ? 'None.' : table(['layer', 'objects', 'duration', ...spent], layers),
    '## Objects',
    table(['object', 'status', 'version', 'duration', ...spent, 'error'], objects),
  ];
  return `${blocks.join('\n\n')}\n`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line)].join('\n');
}

function seconds(ms: number | null): string {
  return ms === null ? '' : `${(ms / 1_000).toFixed(2)} s`;
}

function dollars(usd: number): string {
  return `$${usd.toFixed(4)}`;
}
