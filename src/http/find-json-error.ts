// Finds where a text stops being JSON: engines word their errors differently, and some name no position.

export interface JsonErrorPlace {
  /** 0-based. */
  offset: number;
  /** 1-based. */
  line: number;
  /** 1-based. */
  column: number;
}

const space = /[ \t\n\r]*/y;
const number = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const literal = /true|false|null/y;
// Everything from the space on besides the quote and the backslash.
const stringPart = /[ !#-[\]-\uffff]+|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;

/** Only for texts that JSON.parse has refused. */
export function findJsonError(text: string): JsonErrorPlace {
  const offset = firstError(text);
  const before = text.slice(0, offset);
  const line = before.split('\n').length;
  return { offset, line, column: offset - before.lastIndexOf('\n') };
}

function firstError(text: string): number {
  const open: ('{' | '[')[] = [];
  let at = skip(space, text, 0);
  let expects: 'value' | 'value or ]' | 'key' | 'key or }' | 'more' = 'value';
  while (at < text.length) {
    const character = text[at];
    if (expects === 'more') {
      const inside = open.at(-1);
      if (inside === undefined) return at;
      if (character === ',') {
        expects = inside === '{' ? 'key' : 'value';
        at += 1;
      } else if (character === (inside === '{' ? '}' : ']')) {
        open.pop();
        at += 1;
      } else return at;
    } else if (expects === 'key' || expects === 'key or }') {
      if (character === '}' && expects === 'key or }') {
        open.pop();
        expects = 'more';
        at += 1;
      } else {
        const end = skip(space, text, character === '"' ? stringEnd(text, at) : at);
        if (text[at] !== '"' || text[end] !== ':') return text[at] === '"' ? end : at;
        expects = 'value';
        at = end + 1;
      }
    } else if (character === ']' && expects === 'value or ]') {
      open.pop();
      expects = 'more';
      at += 1;
    } else if (character === '{' || character === '[') {
      open.push(character);
      expects = character === '{' ? 'key or }' : 'value or ]';
      at += 1;
    } else {
      const end = scalarEnd(text, at);
      if (end === at) return at;
      expects = 'more';
      // An unfinished string ends the text or stands before what it may not hold.
      if (character === '"' && text[end - 1] !== '"') return end;
      at = end;
    }
    at = skip(space, text, at);
  }
  return text.length;
}

function scalarEnd(text: string, at: number): number {
  if (text[at] === '"') return stringEnd(text, at);
  return Math.max(skip(number, text, at), skip(literal, text, at));
}

/** After the closing quote, or where the string goes wrong. */
function stringEnd(text: string, at: number): number {
  let position = at + 1;
  for (;;) {
    const next = skip(stringPart, text, position);
    if (next === position) return text[position] === '"' ? position + 1 : position;
    position = next;
  }
}

function skip(pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at;
  return pattern.test(text) ? pattern.lastIndex : at;
}
