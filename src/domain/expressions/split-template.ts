// Splits a text into what stands as it is and the expressions inside `${{ }}`.

export interface Segment {
  readonly kind: 'text' | 'expression' | 'unclosed';
  /** For an expression, what stands between `${{` and `}}`. */
  readonly text: string;
  /** Where `text` begins in the whole. */
  readonly start: number;
}

/** The segments of a text, in order. An expression that never ends is the last one, of kind `unclosed`. */
export function splitTemplate(text: string): Segment[] {
  const segments: Segment[] = [];
  let from = 0;
  while (from < text.length) {
    const open = text.indexOf('${{', from);
    if (open < 0) {
      segments.push({ kind: 'text', text: text.slice(from), start: from });
      break;
    }
    if (open > from) segments.push({ kind: 'text', text: text.slice(from, open), start: from });
    const close = findClose(text, open + 3);
    if (close < 0) {
      segments.push({ kind: 'unclosed', text: text.slice(open), start: open });
      break;
    }
    segments.push({ kind: 'expression', text: text.slice(open + 3, close), start: open + 3 });
    from = close + 2;
  }
  return segments;
}

/** Position of the `}}` that ends an expression: not within a text literal, nor of a map literal. */
function findClose(text: string, from: number): number {
  let depth = 0;
  for (let at = from; at < text.length; at++) {
    const character = text[at];
    if (character === '"' || character === "'") at = endOfLiteral(text, at, character);
    else if (character === '{') depth++;
    else if (character === '}' && depth > 0) depth--;
    else if (character === '}' && text[at + 1] === '}') return at;
  }
  return -1;
}

function endOfLiteral(text: string, from: number, quote: string): number {
  for (let at = from + 1; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === quote) return at;
  }
  return text.length;
}
