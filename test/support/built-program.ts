// Vitest's global set-up where tests start Cronwright as users do: the built program, built anew where a source is newer.
import { execFileSync } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../src/base/package-root.ts';

/** The command as it is on the PATH of an installation; for `process.execPath`. */
export const builtProgram: string = join(packageRoot, 'bin', 'cronwright.js');

/** What the build reads. */
const sources = ['src', 'plugins', 'scripts', 'tsconfig.json', 'tsconfig.build.json', 'package.json'];
/** The build writes all its files anew. */
const built = join(packageRoot, 'dist', 'src', 'main.js');

export default function setup(): void {
  const builtAt = statSync(built, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  if (newest(sources.map((name) => join(packageRoot, name))) < builtAt) return;
  execFileSync('npm', ['run', '--silent', 'build'], { cwd: packageRoot, stdio: 'inherit' });
}

function newest(paths: readonly string[]): number {
  const times = paths.flatMap((path) => {
    const { mtimeMs } = statSync(path);
    const entries = statSync(path).isDirectory() ? readdirSync(path, { recursive: true, withFileTypes: true }) : [];
    return [mtimeMs, ...entries.map((entry) => statSync(join(entry.parentPath, entry.name)).mtimeMs)];
  });
  return Math.max(...times);
}
