// How values are made harmless for what the text is to be.

export const escapes = ['none', 'html', 'latex', 'json'] as const;
export type Escape = (typeof escapes)[number];

const html: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

/** The ten characters that mean something to TeX; the result is safe in running text, not in verbatim or in a URL. */
const latex: Readonly<Record<string, string>> = {
  '\\': '\\textbackslash{}',
  '{': '\\{',
  '}': '\\}',
  $: '\\$',
  '&': '\\&',
  '#': '\\#',
  '%': '\\%',
  _: '\\_',
  '^': '\\textasciicircum{}',
  '~': '\\textasciitilde{}',
};

/** Undefined: values stay as they are. */
export function escapeFor(mode: Escape): ((value: unknown) => string) | undefined {
  switch (mode) {
    case 'none':
      return undefined;
    case 'html':
      return (value) => asText(value).replace(/[&<>"']/g, (character) => html[character] ?? character);
    case 'latex':
      return (value) => asText(value).replace(/[\\{}$&#%_^~]/g, (character) => latex[character] ?? character);
    case 'json':
      // Without its quotes: the template writes them.
      return (value) => JSON.stringify(asText(value)).slice(1, -1);
  }
}

function asText(value: unknown): string {
  if (value === null || value === undefined) return '';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
