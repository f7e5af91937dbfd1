// Reads rustdoc text: its headings as sections, its code as Rust, its links as names, which no page of ours could lead to.
import { clean } from './comment-text.ts';
import type { SymbolTag } from './module.ts';

/** Words behind a fence that say how the code is tested; the code is Rust. */
const testWords = /^(rust|ignore\S*|no_run|should_panic|compile_fail|edition\d+|test_harness|E\d{4}|,)*$/;

/** Headings begin sections; `# Examples` are examples. */
export function readRustdoc(text: string): { comment: string; tags: SymbolTag[] } {
  const sections: { title: string; lines: string[] }[] = [{ title: '', lines: [] }];
  let open: { marker: string; isRust: boolean } | undefined;
  for (const line of text.split('\n')) {
    const lines = sections.at(-1)?.lines ?? [];
    const [, marker = '', words = ''] = /^\s*(`{3,}|~{3,})\s*([^`]*)$/.exec(line) ?? [];
    const heading = /^#{1,6}\s+(.+?)\s*#*$/.exec(line)?.[1];
    if (open !== undefined && marker.startsWith(open.marker)) {
      lines.push(marker);
      open = undefined;
    } else if (open !== undefined) {
      // rustdoc hides such lines: they only make the example complete.
      if (!open.isRust || !/^\s*#( |$)/.test(line)) lines.push(line);
    } else if (marker !== '') {
      open = { marker, isRust: testWords.test(words.trim()) };
      lines.push(`${marker}${open.isRust ? 'rust' : words.trim().split(/[\s,]/)[0]}`);
    } else if (heading !== undefined) sections.push({ title: plainLinks(heading), lines: [] });
    else lines.push(plainLinks(line));
  }
  const [first, ...rest] = sections;
  return {
    comment: clean((first?.lines ?? []).join('\n')),
    tags: rest.map(({ title, lines }) => ({
      tag: /^examples?$/i.test(title) ? 'example' : 'section',
      name: /^examples?$/i.test(title) ? '' : title,
      text: clean(lines.join('\n')),
    })),
  };
}

/** `[Name]`, `[text](path)` and `[text][path]` as text; an address of the web stays a link. */
function plainLinks(line: string): string {
  return line
    .replace(/\[([^\]]+)\]\((https?:\/\/[^\s)]+)\)/g, '{@link $2|$1}')
    .replace(/\[(`[^`]+`)\](?:\([^)\s]*\)|\[[^\]]*\])?/g, '$1')
    .replace(/\[([^\]`]+)\](?:\([^)\s]*\)|\[[^\]]*\])/g, '$1')
    .replace(/\[((?:\w+::)*\w+(?:\(\)|!)?)\](?![[(:])/g, '`$1`');
}
