// `cronwright fork`: makes a new run that keeps completed steps of another, with edited inputs or outputs.
import { readFile } from 'node:fs/promises';
import { errorMessage } from '../domain/errors.ts';
import type { InputDefinition } from '../domain/pipeline.ts';
import type { ForkAnswer, RunDetailAnswer } from './answers.ts';
import type { CliContext } from './cli-context.ts';
import { connect, type DaemonOptions } from './connect.ts';
import { type DaemonClient, segment } from './daemon-client.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import { findRunId } from './find-run.ts';
import { wrongOption } from './option-values.ts';
import { parseInputs } from './parse-inputs.ts';
import { printJson, printLine } from './print.ts';

export interface ForkOptions extends DaemonOptions {
  from?: string;
  input?: string[];
  output?: string[];
  priority?: number;
  dryRun?: boolean;
  current?: boolean;
  conversation?: boolean;
}

export async function fork(context: CliContext, text: string, options: ForkOptions): Promise<ExitCode> {
  const outputs = await readOutputs(options.output ?? []);
  const daemon = connect(context, options);
  const id = await findRunId(daemon, text);
  const inputs = await readInputs(daemon, id, options.input ?? []);
  const answer = await daemon.post<ForkAnswer>(`/runs/${segment(id)}/fork`, {
    ...(options.from === undefined ? {} : { from: options.from }),
    ...(inputs === undefined ? {} : { inputs }),
    ...(outputs === undefined ? {} : { outputs }),
    ...(options.priority === undefined ? {} : { priority: options.priority }),
    ...(options.dryRun ? { dry_run: true } : {}),
    ...(options.current ? { version: 'current' } : {}),
    ...(options.conversation ? { conversation: 'whole' } : {}),
  });
  if (options.json) printJson(context, answer);
  else printLine(context, `${answer.id}: forked from ${id}, ${whatIsKept(answer)}.`);
  return exitCodes.done;
}

function whatIsKept({ kept_steps: kept, edited }: ForkAnswer): string {
  const changes = [
    ...edited.inputs.map((name) => `input ${name}`),
    ...edited.outputs.map((step) => `output of ${step}`),
  ];
  return [
    kept.length === 0 ? 'from its start' : `keeping ${kept.join(', ')}`,
    ...(changes.length === 0 ? [] : [`edited: ${changes.join(', ')}`]),
  ].join('; ');
}

async function readInputs(
  daemon: DaemonClient,
  id: string,
  pairs: readonly string[],
): Promise<Record<string, unknown> | undefined> {
  if (pairs.length === 0) return undefined;
  const { pipeline } = await daemon.get<RunDetailAnswer>(`/runs/${segment(id)}`);
  const answer = await daemon.get<{ inputs?: Record<string, Pick<InputDefinition, 'type'>> }>(
    `/pipelines/${segment(pipeline)}`,
  );
  return parseInputs(pairs, answer.inputs ?? {});
}

/** `step=@file.json`, or `step=JSON`. */
async function readOutputs(pairs: readonly string[]): Promise<Record<string, unknown> | undefined> {
  if (pairs.length === 0) return undefined;
  const outputs: Record<string, unknown> = {};
  for (const pair of pairs) {
    const [, step = '', text = ''] = /^([^=]+)=([\s\S]+)$/.exec(pair) ?? [];
    if (step === '') throw wrongOption('--output', pair, 'step=@file.json, or step=JSON');
    outputs[step] = parse(pair, text.startsWith('@') ? await readText(pair, text.slice(1)) : text);
  }
  return outputs;
}

async function readText(pair: string, path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw wrongOption('--output', pair, `a file that can be read: ${errorMessage(error)}`);
  }
}

function parse(pair: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw wrongOption('--output', pair, `JSON: ${errorMessage(error)}`);
  }
}
