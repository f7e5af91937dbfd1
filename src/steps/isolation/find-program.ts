// Finds the program of a step before its process starts, so that a missing one is told in words and not by an exit code.
import { accessSync, constants, statSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { StepError } from '../api.ts';

/** The command with its program as an absolute path. Throws a fatal ProgramNotFound. */
export function findProgram(command: readonly string[], path = ''): string[] {
  const [name = '', ...args] = command;
  const folders = path.split(':').filter(isAbsolute);
  const candidates = isAbsolute(name) ? [name] : folders.map((folder) => join(folder, name));
  const program = candidates.find(isProgram);
  if (program !== undefined) return [program, ...args];
  const where = isAbsolute(name) ? '' : ` in ${folders.join(', ') || 'an empty PATH'}`;
  throw new StepError('fatal', `there is no program ${name}${where}`, { name: 'ProgramNotFound' });
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
