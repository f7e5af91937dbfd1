// A node with one step and nothing else, as a process that a test can kill: PLUGIN (or none), STEP, INPUT and WORKSPACE say what it runs.
import { loadPlugins } from '../../src/steps/load-plugins.ts';
import { createRegistry } from '../../src/steps/registry.ts';
import { runStep } from './step-context.ts';

const { PLUGIN, STEP = '', INPUT = '{}', WORKSPACE = '', ISOLATION } = process.env;
const listed = PLUGIN === undefined ? [] : [PLUGIN];
const { plugins } = await loadPlugins({ builtIn: {}, listed, baseDir: import.meta.dirname });
await runStep(createRegistry(plugins).get(STEP) ?? STEP, JSON.parse(INPUT), {
  workspaceDir: WORKSPACE,
  ...(ISOLATION === 'process' ? { isolation: 'process' as const } : {}),
});
