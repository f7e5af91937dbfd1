// Cuts what a program prints into lines, within bounded memory however long its lines are.

export interface LineSplitter {
  write(chunk: string): void;
  /** Passes on what has no line end yet. */
  end(): void;
}

/**
 * `onLine` gets each line without its end; `cut` is how many characters of it were dropped because it was longer than
 * `keep()`. Of an unfinished line no more than that is held.
 */
export function createLineSplitter(keep: () => number, onLine: (line: string, cut: number) => void): LineSplitter {
  let pieces: string[] = [];
  let held = 0;
  let cut = 0;

  const hold = (piece: string) => {
    const room = Math.max(0, keep() - held);
    const kept = piece.length <= room ? piece : piece.slice(0, room);
    if (kept !== '') pieces.push(kept);
    held += kept.length;
    cut += piece.length - kept.length;
  };
  const flush = () => {
    const line = pieces.length === 1 ? (pieces[0] ?? '') : pieces.join('');
    const dropped = cut;
    pieces = [];
    held = 0;
    cut = 0;
    onLine(line.endsWith('\r') ? line.slice(0, -1) : line, dropped);
  };
  return {
    write(chunk) {
      let from = 0;
      for (let end = chunk.indexOf('\n'); end !== -1; end = chunk.indexOf('\n', from)) {
        hold(chunk.slice(from, end));
        flush();
        from = end + 1;
      }
      if (from < chunk.length) hold(chunk.slice(from));
    },
    end() {
      if (held > 0 || cut > 0) flush();
    },
  };
}
