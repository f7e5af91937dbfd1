// `cronwright sensors`: lists them, shows one with what it found, pauses and resumes one, and has one look now.
import { CronwrightError } from '../domain/errors.ts';
import type { SensorAnswer, SensorDetailAnswer } from './answers.ts';
import type { CliContext } from './cli-context.ts';
import { connect, type DaemonOptions } from './connect.ts';
import { segment } from './daemon-client.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import { instantOrDistance } from './option-values.ts';
import { printJson, printLine } from './print.ts';
import { showRelative, showUtc } from './show-time.ts';
import { type Column, clip, renderTable } from './table.ts';

export interface SensorsOptions extends DaemonOptions {
  pipeline?: string;
  reason?: string;
  until?: string;
}

const verbs = ['pause', 'resume', 'check'] as const;
type Verb = (typeof verbs)[number];

/** `first` is a verb, or the sensor to show. */
export async function sensors(
  context: CliContext,
  first: string | undefined,
  second: string | undefined,
  options: SensorsOptions,
): Promise<ExitCode> {
  if (first === undefined) return listAll(context, options);
  const verb = verbs.find((one) => one === first);
  if (verb === undefined) {
    if (second === undefined) return showOne(context, first, options);
    throw new CronwrightError('invalid_input', `"${first}" is no verb, expected one of: ${verbs.join(', ')}`);
  }
  if (second === undefined) {
    throw new CronwrightError('invalid_input', `${verb}: expected the id of a sensor (pipeline.sensor)`);
  }
  return act(context, verb, second, options);
}

async function listAll(context: CliContext, options: SensorsOptions): Promise<ExitCode> {
  const answer = await connect(context, options).get<{ items: SensorAnswer[] }>('/sensors', {
    pipeline: options.pipeline,
    limit: 500,
  });
  if (options.json) printJson(context, answer);
  else if (answer.items.length === 0) printLine(context, 'There are no sensors.');
  else printLine(context, renderTable(context.stdout, columnsOf(context), answer.items));
  return exitCodes.done;
}

function columnsOf(context: CliContext): Column<SensorAnswer>[] {
  const { colors } = context.stdout;
  const now = context.clock.now();
  const when = (text: string | null): string => (text === null ? '' : showRelative(Date.parse(text), now));
  return [
    { heading: 'sensor', cell: (one) => one.id },
    { heading: 'uses', cell: (one) => one.uses },
    { heading: 'state', cell: (one) => (one.state === 'active' ? one.state : colors.yellow(one.state)) },
    { heading: 'looked', cell: (one) => when(one.looked_at) },
    { heading: 'looks next', cell: (one) => when(one.due_at) },
    { heading: 'found', align: 'right', cell: (one) => String(one.found) },
    { heading: 'last', cell: (one) => when(one.found_at) },
    { heading: '', cell: (one) => clip(one.error ?? one.paused?.reason ?? '', 60) },
  ];
}

async function showOne(context: CliContext, id: string, options: SensorsOptions): Promise<ExitCode> {
  const sensor = await connect(context, options).get<SensorDetailAnswer>(`/sensors/${segment(id)}`);
  if (options.json) {
    printJson(context, sensor);
    return exitCodes.done;
  }
  printLine(context, renderTable(context.stdout, columnsOf(context), [sensor]));
  if (sensor.error !== null) printLine(context, `\n${clip(sensor.error, 500)}`);
  if (sensor.events.length === 0) return exitCodes.done;
  const columns: Column<SensorDetailAnswer['events'][number]>[] = [
    { heading: 'found (UTC)', cell: (one) => showUtc(Date.parse(one.found_at)) },
    { heading: 'what', cell: (one) => clip(one.key, 80) },
    { heading: 'run', cell: (one) => one.run_id },
  ];
  printLine(context);
  printLine(context, renderTable(context.stdout, columns, sensor.events));
  return exitCodes.done;
}

async function act(context: CliContext, verb: Verb, id: string, options: SensorsOptions): Promise<ExitCode> {
  const now = context.clock.now();
  const until = options.until === undefined ? undefined : instantOrDistance('--until', options.until, now, 1);
  if (verb !== 'pause' && (until !== undefined || options.reason !== undefined)) {
    throw new CronwrightError('invalid_input', '--reason and --until are for pause');
  }
  const body = {
    ...(options.reason === undefined ? {} : { reason: options.reason }),
    ...(until === undefined ? {} : { until: new Date(until).toISOString() }),
  };
  const answer = await connect(context, options).post<SensorDetailAnswer>(`/sensors/${segment(id)}/${verb}`, body);
  const end = until === undefined ? 'until it is resumed' : `until ${showUtc(until)} (${showRelative(until, now)})`;
  const said = { pause: `paused ${end}`, resume: 'resumed, it looks now', check: 'looks now' }[verb];
  if (options.json) printJson(context, answer);
  else printLine(context, `${id}: ${said}.`);
  return exitCodes.done;
}
