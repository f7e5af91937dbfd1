// Says of a plugin that cannot be used where the settings list it.
import { resolve } from 'node:path';
import type { Problem } from '../domain/errors.ts';
import { formatKeyPath } from './key-path.ts';
import { readSettingsFile } from './load-settings.ts';

/** Reads the file again. A problem keeps the place it has, which is one in a file of the plugin's own. */
export async function placePluginProblems<P extends Problem & { plugin: string }>(
  configDir: string,
  problems: readonly P[],
): Promise<P[]> {
  if (problems.length === 0) return [];
  const { value, document } = await readSettingsFile(configDir);
  const listed: readonly unknown[] = Array.isArray(value.plugins) ? value.plugins : [];
  return problems.map((problem) => {
    const isMeant = (entry: unknown) =>
      entry === problem.plugin || (typeof entry === 'string' && resolve(configDir, entry) === problem.plugin);
    // Of one that is listed twice the second is too much.
    const index = listed.findLastIndex(isMeant);
    if (!document || index === -1 || problem.file !== undefined) return problem;
    const path = ['plugins', index];
    return { ...document.placeOf(path), path: formatKeyPath(path), ...problem };
  });
}
