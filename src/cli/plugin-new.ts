// `cronwright plugin new`: writes the folder of a plugin, from the examples that the package ships.
import { existsSync, readdirSync } from 'node:fs';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { packageRoot } from '../base/package-root.ts';
import { CronwrightError } from '../domain/errors.ts';
import { builtInPlugins } from '../steps/built-in-plugins.ts';
import { pluginName } from '../steps/check-plugin.ts';
import type { CliContext } from './cli-context.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import { wrongOption } from './option-values.ts';
import { printJson, printLine } from './print.ts';

type Language = 'ts' | 'python' | 'shell';

/** The example that a language begins with, and the plugin name in it that gives way to the new one. */
const examples: Readonly<Record<Language, { folder: string; name: string }>> = {
  ts: { folder: 'plugin-hello', name: 'hello' },
  python: { folder: 'plugin-python', name: 'hello-python' },
  shell: { folder: 'plugin-shell', name: 'hello-shell' },
};

export async function pluginNew(
  context: CliContext,
  name: string,
  options: { dir?: string; language: Language; json?: boolean },
): Promise<ExitCode> {
  checkName(name);
  const folder = resolve(context.cwd, options.dir ?? name);
  if (existsSync(folder) && readdirSync(folder).length > 0) {
    throw new CronwrightError('conflict', `${folder} is there already and not empty; nothing is overwritten`);
  }
  const shown = relative(context.cwd, folder) || '.';
  const files = await copyExample(options.language, name, folder, shown);
  const next = [
    `npm test --prefix ${shown}`,
    `npx cronwright check --config ${shown}/config`,
    `npx cronwright run ${name} --config ${shown}/config`,
  ];
  if (options.json) printJson(context, { plugin: name, language: options.language, folder, files, next });
  else {
    const { green, bold } = context.stdout.colors;
    printLine(context, `${green('made')} the plugin ${bold(name)} in ${folder}:`);
    for (const file of files) printLine(context, `  ${file}`);
    printLine(context, 'Next:');
    for (const command of next) printLine(context, `  ${command}`);
  }
  return exitCodes.done;
}

function checkName(name: string): void {
  if (!pluginName.test(name) || name.length > 64) {
    throw wrongOption('name', name, 'a small letter, then small letters, digits, _ and -; at most 64');
  }
  if (Object.hasOwn(builtInPlugins, name)) throw wrongOption('name', name, 'a name that no built-in plugin has');
}

/** `shown` is the folder as seen from where the commands of its README are typed. */
async function copyExample(language: Language, name: string, folder: string, shown: string): Promise<string[]> {
  const example = examples[language];
  const from = join(packageRoot, 'examples', example.folder);
  const word = new RegExp(`\\b${example.name}\\b`, 'g');
  const files: string[] = [];
  for (const file of filesOf(from)) {
    const path = file.replace(word, name);
    const text = await readFile(join(from, file), 'utf8');
    const { mode } = await stat(join(from, file));
    await mkdir(dirname(join(folder, path)), { recursive: true });
    const written = text.replaceAll(`${example.name}/config`, `${shown}/config`).replace(word, name);
    await writeFile(join(folder, path), written, { mode, flag: 'wx' });
    files.push(path);
  }
  return files.sort();
}

/** What a test of the example has left behind is no part of it. */
function filesOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .filter((path) => !/(^|\/)(__pycache__|node_modules|data)\//.test(path));
}
