// Cuts a migration into its statements.

/**
 * The statements of an SQL file, without their closing `;` and without the comments around them. A statement ends with a
 * `;` that ends its line (a `--` comment may follow); one within a comment or a quoted text ends nothing.
 */
export function splitStatements(text: string): string[] {
  const statements: string[] = [];
  let from = 0;
  for (let position = 0; position < text.length; ) {
    const skipped = skipCommentOrQuote(text, position);
    if (skipped > position) {
      position = skipped;
    } else if (text[position] === ';' && endsLine(text, position + 1)) {
      add(text.slice(from, position));
      position++;
      from = position;
    } else {
      position++;
    }
  }
  add(text.slice(from));
  return statements;

  function add(part: string): void {
    const statement = withoutLeadingComments(part);
    if (statement !== '') statements.push(statement);
  }
}

/** The position behind a comment or quoted text that begins here, or the same position. */
function skipCommentOrQuote(text: string, position: number): number {
  const two = text.slice(position, position + 2);
  if (two === '--') return endOr(text, text.indexOf('\n', position), 0);
  if (two === '/*') return endOr(text, text.indexOf('*/', position + 2), 2);
  const quote = text[position];
  // A doubled quote inside reads as two quoted texts side by side, which ends at the same place.
  if (quote === "'" || quote === '"') return endOr(text, text.indexOf(quote, position + 1), 1);
  return position;
}

function endOr(text: string, found: number, length: number): number {
  return found === -1 ? text.length : found + length;
}

function endsLine(text: string, position: number): boolean {
  return /^[^\S\n]*(--[^\n]*)?(\n|$)/.test(text.slice(position, endOr(text, text.indexOf('\n', position), 1)));
}

function withoutLeadingComments(part: string): string {
  let rest = part.trim();
  while (rest.startsWith('--') || rest.startsWith('/*')) rest = rest.slice(skipCommentOrQuote(rest, 0)).trim();
  return rest;
}
