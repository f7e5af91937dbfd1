// The programs that the monitoring test needs, and what they say of the files in deploy/.
import { execFile, spawnSync } from 'node:child_process';
import { promisify } from 'node:util';
import { deployFolder } from './shipped-files.ts';

const needed = [
  { program: 'prometheus', args: ['--version'], debian: 'prometheus' },
  { program: 'promtool', args: ['--version'], debian: 'prometheus' },
] as const;

/** One line for each program that is not there: what it is and where to get it. */
export function missingPrograms(): string[] {
  return needed
    .filter(({ program, args }) => !works(program, args))
    .map(({ program, debian }) => `${program}: not found on the PATH. Debian and Ubuntu: the package \`${debian}\``);
}

export function versionOf(program: string): string {
  const { stdout, stderr } = spawnSync(program, ['--version'], { encoding: 'utf8' });
  return /version (\S+)/.exec(stdout + stderr)?.[1] ?? 'unknown';
}

/** Runs it in deploy/; the error of a failure holds what it said. */
export async function run(program: string, args: readonly string[], env: Record<string, string> = {}): Promise<string> {
  try {
    const { stdout, stderr } = await promisify(execFile)(program, args, {
      cwd: deployFolder,
      env: { ...process.env, ...env },
    });
    return (stdout + stderr).trim();
  } catch (error) {
    const { stdout = '', stderr = '', message } = error as Error & { stdout?: string; stderr?: string };
    throw new Error(`${message}\n${stdout}${stderr}`, { cause: error });
  }
}

/** `docker compose` is a plug-in of the client; it needs no engine to read a file. */
export function hasCompose(): boolean {
  return works('docker', ['compose', 'version']);
}

function works(program: string, args: readonly string[]): boolean {
  return spawnSync(program, args, { stdio: 'ignore' }).status === 0;
}
