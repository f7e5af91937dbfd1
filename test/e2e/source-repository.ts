// A small git repository for repo-docs to document.
import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

export async function git(cwd: string, ...args: string[]): Promise<string> {
  const identity = ['-c', 'user.name=Ada', '-c', 'user.email=ada@example.org', '-c', 'commit.gpgsign=false'];
  const { stdout } = await promisify(execFile)('git', [...identity, ...args], { cwd });
  return stdout.trim();
}

/** A repository with one commit: `circle.ts`, and as many further modules as are asked for. */
export async function createSourceRepository(path: string, modules = 0): Promise<string> {
  await mkdir(join(path, 'src'), { recursive: true });
  await git(path, 'init', '--quiet', '--initial-branch', 'main');
  await writeFile(join(path, 'src/circle.ts'), circle);
  for (let n = 1; n <= modules; n++) {
    await writeFile(
      join(path, `src/part-${n}.ts`),
      `/** Part ${n}. */\nexport const part${n} = (x: number): number => x * ${n};\n`,
    );
  }
  await git(path, 'add', '--all');
  await git(path, 'commit', '--quiet', '--message', 'Circles');
  return path;
}

const circle = `/** The area of a circle with this radius. */
export function areaOfCircle(radius: number): number {
  return Math.PI * radius ** 2;
}
`;
