// The step that a test means: of a definition in memory, or of a plugin in a file.
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CronwrightError } from '../../domain/errors.ts';
import { problemLine } from '../../domain/problem-line.ts';
import type { PluginDefinition, StepDefinition } from '../api.ts';
import { type LoadedPlugin, loadPlugins } from '../load-plugins.ts';
import { createRegistry, type RegisteredStep } from '../registry.ts';
import { sensorStepName } from '../sensor-step.ts';

export async function findStep(
  plugin: PluginDefinition | StepDefinition | string | URL,
  options: { step?: string; isolation?: 'inline' | 'process' },
): Promise<RegisteredStep> {
  const isFile = typeof plugin === 'string' || plugin instanceof URL;
  const loaded = isFile ? await loadFile(plugin) : inMemory(plugin);
  const registry = createRegistry([loaded]);
  const isSensor = options.step?.startsWith(sensorStepName('')) ?? false;
  const steps = isSensor ? registry.sensors().map((sensor) => sensor.step) : registry.list();
  const isNamed = options.step !== undefined && options.step !== sensorStepName('');
  const step = isNamed ? steps.find(({ name }) => name === options.step) : onlyOne(steps);
  if (!step) throw wrong(`the plugin has no step ${options.step}, only ${steps.map(({ name }) => name).join(', ')}`);
  const isolation = options.isolation ?? (isFile ? step.isolation : 'inline');
  if (isolation === 'process' && !isFile) throw wrong('only a plugin given as a file can run in a process');
  if (isolation === 'inline' && step.command) throw wrong(`${step.id} is a program and runs in a process only`);
  // Inherits rather than copies: the schemas are getters.
  return Object.create(step, { isolation: { value: isolation, enumerable: true } }) as RegisteredStep;
}

function inMemory(definition: PluginDefinition | StepDefinition): LoadedPlugin {
  const plugin: PluginDefinition =
    'steps' in definition ? definition : { name: 'test', version: '0.0.0', apiVersion: 1, steps: { step: definition } };
  return { definition: plugin, source: { kind: 'built-in', specifier: plugin.name } };
}

async function loadFile(file: string | URL): Promise<LoadedPlugin> {
  const path = typeof file === 'string' && !file.startsWith('file:') ? file : fileURLToPath(file);
  const { plugins, problems } = await loadPlugins({ builtIn: {}, listed: [asPath(path)], baseDir: process.cwd() });
  const [plugin] = plugins;
  if (plugin) return plugin;
  throw wrong(problems.map(problemLine).join('\n'), problems);
}

/** A bare name would be taken for that of a package. */
function asPath(path: string): string {
  return path.includes('/') ? path : `./${basename(path)}`;
}

function onlyOne(steps: readonly RegisteredStep[]): RegisteredStep {
  const [step, second] = steps;
  if (step && !second) return step;
  throw wrong(`which step? The plugin has ${steps.map(({ name }) => name).join(', ') || 'none'}`);
}

function wrong(message: string, problems: CronwrightError['problems'] = []): CronwrightError {
  return new CronwrightError('invalid_input', message, { problems });
}
