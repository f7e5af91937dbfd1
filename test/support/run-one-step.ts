// A node with one step and nothing else, as a process that a test can kill: STEP, INPUT and WORKSPACE say what it runs.
import { runStep } from './step-context.ts';

const { STEP = '', INPUT = '{}', WORKSPACE = '', ISOLATION } = process.env;
await runStep(STEP, JSON.parse(INPUT), {
  workspaceDir: WORKSPACE,
  ...(ISOLATION === 'process' ? { isolation: 'process' as const } : {}),
});
