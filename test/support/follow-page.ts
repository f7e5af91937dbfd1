// Follows a page of the documents word for word: its `sh` blocks are run, and blocks that are introduced as a file are written.
import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

export type PageStep =
  | { kind: 'run'; commands: string; line: number }
  /** `path` is as the page says. */
  | { kind: 'write'; path: string; text: string; line: number };

/** What the page tells its reader to do. A line that ends in a path between backticks and a colon introduces a file. */
export function readPage(markdown: string): PageStep[] {
  const steps: PageStep[] = [];
  const lines = markdown.split('\n');
  for (let at = 0; at < lines.length; at++) {
    const [, language] = /^```(\w+)$/.exec(lines[at] ?? '') ?? [];
    if (language === undefined) continue;
    const end = lines.indexOf('```', at + 1);
    if (end === -1) throw new Error(`the block in line ${at + 1} has no end`);
    const text = `${lines.slice(at + 1, end).join('\n')}\n`;
    const introduction = lines.slice(0, at).findLast((line) => line.trim() !== '') ?? '';
    const [, path] = /`([\w./-]+)`:$/.exec(introduction) ?? [];
    if (language === 'sh') steps.push({ kind: 'run', commands: text, line: at + 1 });
    else if (path !== undefined) steps.push({ kind: 'write', path, text, line: at + 1 });
    else
      throw new Error(`the ${language} block in line ${at + 1} is neither run nor a file: indent it, or name its file`);
    at = end;
  }
  return steps;
}

/** Does all of it in a folder and returns what each block printed. Throws with the whole output where a command fails. */
export async function followPage(
  steps: readonly PageStep[],
  options: { folder: string; env: Readonly<Record<string, string>> },
): Promise<string[]> {
  const printed: string[] = [];
  for (const step of steps) {
    if (step.kind === 'run') printed.push(await runCommands(step.commands, options));
    else {
      mkdirSync(dirname(join(options.folder, step.path)), { recursive: true });
      writeFileSync(join(options.folder, step.path), step.text);
    }
  }
  return printed;
}

/** As typed into a shell that stops at the first failure. */
export function runCommands(
  commands: string,
  { folder, env }: { folder: string; env: Readonly<Record<string, string>> },
): Promise<string> {
  return new Promise((done, fail) => {
    const shell = spawn('sh', ['-ec', commands], { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] });
    const said: string[] = [];
    for (const stream of [shell.stdout, shell.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk: string) => said.push(chunk));
    }
    shell.on('error', fail);
    shell.on('close', (code, signal) => {
      if (code === 0) done(said.join(''));
      else fail(new Error(`ended with ${code ?? signal}:\n${commands}\n${said.join('')}`));
    });
  });
}
