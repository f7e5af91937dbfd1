// The program of a step's own process: loads the plugin, runs one attempt, and speaks the step protocol with the node.
import { writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { createAbortError } from './abort-reason.ts';
import { type AbortReason, type PluginDefinition, type StepContext, type StepDefinition, StepError } from './api.ts';
import { builtInPlugins } from './built-in-plugins.ts';
import { toStoredError } from './classify-error.ts';
import { encodeOutput } from './encode-output.ts';
import { importPlugin } from './import-plugin.ts';
import { createMessageReader } from './isolation/message-reader.ts';
import {
  type HostMessage,
  messageFd,
  protocolVersion,
  type StartMessage,
  type StepMessage,
} from './isolation/protocol.ts';
import { createCaller, createRemoteContext } from './isolation/remote-context.ts';
import { defaultExport, type PluginSource } from './load-plugins.ts';
import { parseWithSchema } from './parse-with-schema.ts';
import { SecretMask } from './secret-mask.ts';
import { sensorStep, sensorStepName } from './sensor-step.ts';

const abort = new AbortController();
const caller = createCaller(send);
let hasEnded = false;

// A step's listeners on its signal are its own business, however many.
process.on('SIGTERM', () => abortWith('cancelled', 'the process was told to end'));
process.on('uncaughtException', (error) => end({ type: 'failed', error: toStoredError(error, new SecretMask()) }));
process.on('unhandledRejection', (error) => end({ type: 'failed', error: toStoredError(error, new SecretMask()) }));

const read = createMessageReader({
  maxCharacters: Number.POSITIVE_INFINITY,
  onMessage: (message) => onMessage(message as unknown as HostMessage),
  onBroken: (why) => end(failure(`the node's message: ${why}`)),
});
process.stdin.setEncoding('utf8').on('data', read);
process.stdin.on('close', () => abortWith('shutdown', 'the node is gone'));

function onMessage(message: HostMessage): void {
  if (message.type === 'start') void attempt(message);
  else if (message.type === 'abort') abortWith(message.reason as AbortReason, message.message);
  else caller.settle(message);
}

async function attempt(start: StartMessage): Promise<void> {
  try {
    if (start.protocol !== protocolVersion) {
      throw new StepError('fatal', `step protocol is ${start.protocol}, expected ${protocolVersion}`);
    }
    process.chdir(start.context.workspace);
    const ctx = createRemoteContext(start, abort.signal, send, caller);
    const { output } = encodeOutput(await runStep(start, ctx), new SecretMask());
    end({ type: 'completed', output });
  } catch (thrown) {
    end({ type: 'failed', error: toStoredError(thrown, new SecretMask()) });
  }
}

async function runStep(start: StartMessage, ctx: StepContext): Promise<unknown> {
  const { plugin: source, step: name } = start;
  const plugin = defaultExport(await importSource(source)) as PluginDefinition;
  const step = plugin.steps[name] ?? findSensor(plugin, name);
  if (!step) throw new StepError('fatal', `plugin ${source.specifier} has no step ${name} any more`);
  const input = await parseWithSchema(step.input, start.input, 'input');
  if (!start.compensates) return step.run(ctx, input);
  if (!step.compensate)
    throw new StepError('fatal', `step ${name} of plugin ${source.specifier} undoes nothing any more`);
  await step.compensate(ctx, input, start.output);
  return null;
}

function findSensor({ sensors = {} }: PluginDefinition, name: string): StepDefinition | undefined {
  const found = Object.entries(sensors).find(([sensor]) => sensorStepName(sensor) === name);
  return found && sensorStep(found[1]);
}

async function importSource(source: PluginSource): Promise<Record<string, unknown>> {
  if (source.kind === 'listed')
    return importPlugin(source.file, { baseDir: dirname(source.file), cacheDir: source.cacheDir });
  const load = source.kind === 'built-in' ? builtInPlugins[source.specifier] : undefined;
  if (!load) throw new StepError('fatal', `there is no built-in plugin ${source.specifier}`);
  return load();
}

/** Says the result. The node then ends this process with all it left running; where the node is gone its guard does. */
function end(message: StepMessage): void {
  if (hasEnded) return;
  send(message);
  hasEnded = true;
}

function failure(message: string): StepMessage {
  return { type: 'failed', error: { name: 'ProtocolError', message, class: 'fatal' } };
}

function abortWith(reason: AbortReason, message: string): void {
  if (!abort.signal.aborted) abort.abort(createAbortError(reason, message));
}

/** Synchronous, so that a flood of messages slows the step instead of filling memory, and nothing is lost at the exit. */
function send(message: StepMessage): void {
  if (hasEnded) return;
  let bytes = Buffer.from(`${JSON.stringify(message)}\n`);
  while (bytes.length > 0) {
    try {
      bytes = bytes.subarray(writeSync(messageFd, bytes));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EPIPE') return;
      if (code !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}
