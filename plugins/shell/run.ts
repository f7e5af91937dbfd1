// Step shell.run: one program or script, its values through arguments and environment only.
import { realpath, stat } from 'node:fs/promises';
import { isAbsolute, join, relative, sep } from 'node:path';
import { defineStep, type ProgramEnd, runProgram, type StepContext, StepError } from 'cronwright/plugin';
import { z } from 'zod';

/** sysexits.h: the program itself says that another try may work. */
const temporaryFailure = 75;
/** Bytes of what a program printed that an error tells. */
const excerptBytes = 2_000;

const name = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'expected the name of an environment variable');

const input = z
  .strictObject({
    argv: z.array(z.string()).min(1).optional().describe('Program and arguments; no shell reads them.'),
    script: z
      .string()
      .min(1)
      .max(100_000)
      .optional()
      .describe('Shell script; it ends at the first command that fails. Values come in through env.')
      .meta({ 'x-cronwright-no-expressions': true }),
    shell: z.enum(['sh', 'bash']).default('sh').describe('Which shell reads the script.'),
    env: z.record(name, z.union([z.string(), z.number(), z.boolean()])).default({}),
    cwd: z.string().default('.').describe('Folder inside the workspace.'),
    stdin: z.string().optional(),
    max_output: z.int().min(0).max(4_194_304).default(1_048_576).describe('Bytes of output that go into the log.'),
    accept_exit_codes: z.array(z.int().min(0).max(255)).min(1).default([0]),
  })
  .refine((value) => (value.argv === undefined) !== (value.script === undefined), {
    message: 'give either argv or script',
  });

const output = z.object({
  exit_code: z.int(),
  stdout: z.string().describe('The last 64 kB.'),
  stderr: z.string().describe('The last 64 kB.'),
});

export const run = defineStep({
  description: 'Runs a program (argv) or a shell script in the workspace.',
  input,
  output,
  effects: 'outside',
  dryRun: 'handled',
  limits: 'obeyed',
  idempotency: 'none',
  irreversible: 'what a program did is known to it alone',
  isolation: 'inline',
  weight: 'heavy',
  workspace: 'writes',
  async run(ctx, given) {
    const argv = argvOf(given);
    if (ctx.dryRun) {
      ctx.log.info('dry run: would run a program', { program: argv[0] ?? '', arguments: argv.length - 1 });
      return { exit_code: 0, stdout: '', stderr: '' };
    }
    const end = await runProgram({
      argv,
      cwd: await folderInWorkspace(ctx.workspace, given.cwd),
      env: environmentOf(ctx, given.env),
      stdin: given.stdin,
      signal: ctx.signal,
      limits: ctx.limits,
      onOutput: cappedOutput(ctx, given.max_output),
    });
    const failure = failureOf(end, given.accept_exit_codes, argv[0] ?? '');
    if (failure) throw failure;
    return { exit_code: end.exitCode ?? 0, stdout: end.stdout, stderr: end.stderr };
  },
});

function argvOf(given: z.output<typeof input>): string[] {
  if (given.argv !== undefined) return given.argv;
  const script = given.script ?? '';
  return given.shell === 'bash'
    ? ['bash', '--noprofile', '--norc', '-e', '-o', 'pipefail', '-c', script]
    : ['sh', '-e', '-c', script];
}

/** Nothing of the daemon's own environment but what every program needs. */
function environmentOf(ctx: StepContext, own: Record<string, string | number | boolean>): Record<string, string> {
  return {
    ...ctx.host.programEnv,
    ...(ctx.traceparent === undefined ? {} : { TRACEPARENT: ctx.traceparent }),
    ...ctx.env,
    CRONWRIGHT_RUN_ID: ctx.runId,
    CRONWRIGHT_STEP: ctx.step,
    CRONWRIGHT_ATTEMPT: String(ctx.attempt),
    CRONWRIGHT_IDEMPOTENCY_KEY: ctx.idempotencyKey,
    ...Object.fromEntries(Object.entries(own).map(([key, value]) => [key, String(value)])),
  };
}

async function folderInWorkspace(workspace: string, cwd: string): Promise<string> {
  const root = await realpath(workspace);
  const folder = await realpath(join(root, cwd)).catch(() => undefined);
  if (folder === undefined || !(await stat(folder)).isDirectory()) {
    throw new StepError('fatal', `cwd is ${JSON.stringify(cwd)}, but the workspace has no such folder`);
  }
  const inside = relative(root, folder);
  if (isAbsolute(cwd) || isAbsolute(inside) || inside === '..' || inside.startsWith(`..${sep}`)) {
    throw new StepError('fatal', `cwd is ${JSON.stringify(cwd)}, expected a folder inside the workspace`);
  }
  return folder;
}

/** Passes on what is printed up to the cap, and says once that there was more. */
function cappedOutput(ctx: StepContext, maxBytes: number) {
  let room = maxBytes;
  return (stream: 'stdout' | 'stderr', chunk: string) => {
    if (room < 0) return;
    const size = Buffer.byteLength(chunk);
    if (size <= room) {
      ctx.output(stream, chunk);
    } else {
      ctx.output(stream, `${Buffer.from(chunk).toString('utf8', 0, room)}\n`);
      ctx.log.warn(`output cut after ${maxBytes} bytes (max_output); the program runs on`);
      room = -1;
      return;
    }
    room -= size;
  };
}

function failureOf(end: ProgramEnd, accepted: readonly number[], program: string): StepError | undefined {
  const excerpt = (end.stderr.trim() === '' ? end.stdout : end.stderr).slice(-excerptBytes);
  if (end.signal !== null) {
    const fromOutside = ['SIGKILL', 'SIGTERM', 'SIGINT', 'SIGHUP'].includes(end.signal);
    const hint = end.signal === 'SIGKILL' ? ' (perhaps by the system, for want of memory)' : '';
    return new StepError(fromOutside ? 'transient' : 'fatal', `${program} was ended by ${end.signal}${hint}`, {
      name: 'KilledBySignal',
      details: { signal: end.signal, output: excerpt },
    });
  }
  const exitCode = end.exitCode ?? 0;
  if (accepted.includes(exitCode)) return undefined;
  const last = excerpt.trim().split('\n').at(-1) ?? '';
  const said = last === '' ? '' : `: ${last.slice(0, 300)}`;
  return new StepError(
    exitCode === temporaryFailure ? 'transient' : 'fatal',
    `${program} exited with code ${exitCode}, expected ${accepted.join(' or ')}${said}`,
    { name: 'ExitCodeError', details: { exit_code: exitCode, output: excerpt } },
  );
}
