// Reads the texts that a plugin brings along beside its code: system prompts, templates.
import { readFileSync } from 'node:fs';

const known = new Map<string, string>();

/**
 * The text of a file beside a module of a plugin, without the line end at its end: `textBeside(import.meta.url, './prompts/chat.md')`.
 * Read once. The build puts such files beside the compiled code, so that the same call finds them there.
 */
export function textBeside(moduleUrl: string, path: string): string {
  const url = new URL(path, moduleUrl);
  const read = known.get(url.href) ?? readFileSync(url, 'utf8').replace(/\r\n/g, '\n').replace(/\n+$/, '');
  known.set(url.href, read);
  return read;
}
