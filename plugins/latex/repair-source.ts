// Repairs that need no model: the common faults of LaTeX, each by the error it gives, and nothing where none of them is it.

export interface Repaired {
  source: string;
  /** For people; empty: nothing was done. */
  changes: string[];
}

interface Fault {
  source: string;
  lines: string[];
  /** Of `lines`, where the engine stood. */
  at: number | undefined;
  match: RegExpExecArray;
}

type Repair = (fault: Fault) => { source: string; change: string } | undefined;

const repairs: readonly { error: RegExp; repair: Repair }[] = [
  { error: /Undefined control sequence\s*(\\[A-Za-z@]+|\\.)?/, repair: dropCommand },
  { error: /Environment (\S+) undefined/, repair: dropEnvironment },
  { error: /File [`'](.+?)\.(?:sty|cls)' not found/, repair: dropPackage },
  { error: /Misplaced alignment tab character &/, repair: (fault) => escapeInLine(fault, '&') },
  { error: /macro parameter character #/, repair: (fault) => escapeInLine(fault, '#') },
  { error: /Missing \$ inserted|Double subscript|Double superscript/, repair: markMath },
  { error: /Unicode character (\S+) \(U\+([0-9A-F]+)\)/, repair: nameCharacter },
  { error: /\\begin\{(\w+\*?)\} on input line \d+ ended by \\end\{(\w+\*?)\}/, repair: closeEnvironment },
  { error: /Too many \}'s|Extra \}, or forgotten/, repair: dropBrace },
  { error: /Missing \\begin\{document\}/, repair: beginDocument },
  {
    error: /no legal \\end found|Emergency stop|File ended while scanning|Runaway|Paragraph ended before/,
    repair: (fault) => escapePercent(fault) ?? endDocument(fault),
  },
];

export function repairSource(source: string, error: string, line: number | undefined): Repaired {
  const lines = source.split('\n');
  const at = line === undefined || line < 1 || line > lines.length ? undefined : line - 1;
  for (const { error: pattern, repair } of repairs) {
    const match = pattern.exec(error);
    const done = match ? repair({ source, lines, at, match }) : undefined;
    if (done !== undefined && done.source !== source) return { source: done.source, changes: [done.change] };
  }
  return { source, changes: [] };
}

/** What stood in its braces stays. */
function dropCommand({ lines, at, match }: Fault) {
  if (at === undefined) return undefined;
  const text = lines[at] ?? '';
  const command = match[1];
  if (command === undefined) return undefined;
  const pattern = new RegExp(
    `${command.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')}${/[A-Za-z@]$/.test(command) ? '(?![A-Za-z@])' : ''}`,
  );
  return replaceLine(lines, at, text.replace(pattern, ''), `line ${at + 1}: dropped the unknown command ${command}`);
}

function dropEnvironment({ source, match }: Fault) {
  const name = (match[1] ?? '').replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
  const pattern = new RegExp(`\\\\(?:begin|end)\\{${name}\\}(?:\\[[^\\]]*\\])?`, 'g');
  return { source: source.replace(pattern, ''), change: `dropped the unknown environment ${match[1]}` };
}

function dropPackage({ source, match }: Fault) {
  const name = (match[1] ?? '').replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
  const pattern = new RegExp(`^[ \\t]*\\\\usepackage(?:\\[[^\\]]*\\])?\\{${name}\\}.*\\n?`, 'm');
  return { source: source.replace(pattern, ''), change: `dropped the package ${match[1]}, which is not installed` };
}

function escapeInLine({ lines, at }: Fault, character: '&' | '#') {
  if (at === undefined) return undefined;
  const text = (lines[at] ?? '').replace(new RegExp(`(?<!\\\\)${character}`, 'g'), `\\${character}`);
  return replaceLine(lines, at, text, `line ${at + 1}: escaped ${character}`);
}

const mathCommands =
  /\\(?:times|div|cdot|pm|leq?|geq?|neq?|approx|pi|alpha|beta|gamma|delta|theta|lambda|mu|sigma|infty|rightarrow)(?![A-Za-z])/g;

/** Signs of mathematics outside of it; a `$` that nothing closes comes first. */
function markMath({ lines, at }: Fault) {
  if (at === undefined) return undefined;
  // The engine may notice at the end of the paragraph.
  for (let n = at; n >= 0 && n > at - 5; n -= 1) {
    const text = lines[n] ?? '';
    if (n < at && text.trim() === '' && n < at - 1) break;
    if ((text.match(/(?<!\\)\$/g) ?? []).length % 2 === 1) {
      return replaceLine(lines, n, `${text}$`, `line ${n + 1}: closed the formula with $`);
    }
    const marked = outsideMath(text, (part) =>
      part
        .replace(/(?<!\\)_/g, '\\_')
        .replace(/(?<!\\)\^/g, '\\textasciicircum{}')
        .replace(/\\frac\{[^{}]*\}\{[^{}]*\}|\\sqrt\{[^{}]*\}/g, (found) => `$${found}$`)
        .replace(mathCommands, (found) => `$${found}$`),
    );
    if (marked !== text) return replaceLine(lines, n, marked, `line ${n + 1}: signs of mathematics marked or escaped`);
  }
  return undefined;
}

function outsideMath(text: string, change: (part: string) => string): string {
  return text
    .split(/((?<!\\)\$[^$]*(?<!\\)\$|\\(?:label|ref|cite|includegraphics|input|url|href)\{[^{}]*\})/)
    .map((part, i) => (i % 2 === 0 ? change(part) : part))
    .join('');
}

function nameCharacter({ source, match }: Fault) {
  const code = match[2] ?? '';
  const character = String.fromCodePoint(Number.parseInt(code, 16));
  return {
    source: source.split(character).join(`[U+${code}]`),
    change: `named the character U+${code}, which no font has`,
  };
}

function closeEnvironment({ lines, at, match }: Fault) {
  if (at === undefined) return undefined;
  const [, open = '', closed = ''] = match;
  const place = (lines[at] ?? '').indexOf(`\\end{${closed}}`);
  if (place === -1) return undefined;
  const text = lines[at] ?? '';
  const mended = `${text.slice(0, place)}\\end{${open}}\n${text.slice(place)}`;
  return replaceLine(lines, at, mended, `line ${at + 1}: closed the environment ${open}`);
}

function dropBrace({ lines, at }: Fault) {
  if (at === undefined) return undefined;
  const text = lines[at] ?? '';
  let depth = 0;
  for (let i = 0; i < text.length; i += 1) {
    if (text[i] === '\\') i += 1;
    else if (text[i] === '{') depth += 1;
    else if (text[i] === '}') depth -= 1;
    if (depth < 0)
      return replaceLine(lines, at, text.slice(0, i) + text.slice(i + 1), `line ${at + 1}: dropped a } too many`);
  }
  return undefined;
}

function beginDocument({ lines }: Fault) {
  const last = lines.findLastIndex((text) =>
    /^\s*\\(?:documentclass|usepackage|setlength|pagestyle|title|author|date)\b/.test(text),
  );
  if (last === -1 || lines.some((text) => text.includes('\\begin{document}'))) return undefined;
  const source = [...lines.slice(0, last + 1), '\\begin{document}', ...lines.slice(last + 1)].join('\n');
  return { source, change: 'added \\begin{document}' };
}

/** After a figure a sign of percent is meant; read as a comment it takes the rest of the line with its braces away. */
function escapePercent({ source }: Fault) {
  const mended = source.replace(/(\d ?)(?<!\\)%(?=\s*\S)/g, '$1\\%');
  return mended === source ? undefined : { source: mended, change: 'escaped % after figures' };
}

function endDocument({ source }: Fault) {
  if (source.includes('\\end{document}')) return undefined;
  const open: string[] = [];
  for (const [, kind, name = ''] of source.replace(/(?<!\\)%.*$/gm, '').matchAll(/\\(begin|end)\{([^{}]+)\}/g)) {
    if (kind === 'begin') open.push(name);
    else if (open.includes(name)) open.splice(open.lastIndexOf(name), 1);
  }
  const missing = open.reverse().filter((name) => name !== 'document');
  const ends = [...missing, 'document'].map((name) => `\\end{${name}}`);
  return { source: `${source.trimEnd()}\n${ends.join('\n')}\n`, change: `added ${ends.join(' ')}` };
}

function replaceLine(lines: readonly string[], at: number, text: string, change: string) {
  return { source: lines.map((line, i) => (i === at ? text : line)).join('\n'), change };
}
