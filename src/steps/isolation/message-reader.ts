// Reads newline-delimited JSON, within bounded memory however much comes.

/**
 * Feed it chunks of text. `onMessage` gets each line as an object; `onBroken` is called once, for a line that is too long
 * or no JSON object, and nothing is read after it.
 */
export function createMessageReader(options: {
  maxCharacters: number;
  onMessage: (message: Record<string, unknown>) => void;
  onBroken: (why: string) => void;
}): (chunk: string) => void {
  let pieces: string[] = [];
  let held = 0;
  let isBroken = false;

  const fail = (why: string) => {
    isBroken = true;
    pieces = [];
    options.onBroken(why);
  };
  const take = (piece: string) => {
    held += piece.length;
    if (held > options.maxCharacters) fail(`a message has more than ${options.maxCharacters} characters`);
    else pieces.push(piece);
  };
  const finishLine = () => {
    const line = pieces.join('');
    pieces = [];
    held = 0;
    if (line.trim() === '') return;
    const message = parse(line);
    if (message) options.onMessage(message);
    else fail(`a message is no JSON object: ${line.slice(0, 100)}`);
  };

  return (chunk) => {
    let from = 0;
    for (let end = chunk.indexOf('\n'); end !== -1 && !isBroken; end = chunk.indexOf('\n', from)) {
      take(chunk.slice(from, end));
      if (!isBroken) finishLine();
      from = end + 1;
    }
    if (!isBroken && from < chunk.length) take(chunk.slice(from));
  };
}

function parse(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}
