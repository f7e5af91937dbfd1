// Counts the rows of a dump in plain form as it passes: what stands between COPY … FROM stdin and \. is one row a line.
import { Transform, type TransformCallback } from 'node:stream';

const copyLine = /^COPY ((?:"(?:[^"]|"")*"|[^\s".]+)\.(?:"(?:[^"]|"")*"|[^\s"(.]+)) .*FROM stdin;\r?$/;
const newline = 10;
/** No line outside of data that matters is longer. */
const longestHead = 65_536;

/** Passes everything on unchanged; `counts` has tables as `schema.name`. */
export class CopyCounter extends Transform {
  readonly counts: Record<string, number> = {};
  #table: string | undefined;
  /** The beginning of a line whose end has not come yet. */
  #head = '';

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    let from = 0;
    for (let at = chunk.indexOf(newline); at !== -1; at = chunk.indexOf(newline, from)) {
      this.#line(this.#head + this.#text(chunk, from, at));
      this.#head = '';
      from = at + 1;
    }
    this.#head += this.#text(chunk, from, chunk.length);
    done(null, chunk);
  }

  #text(chunk: Buffer, from: number, to: number): string {
    const room = this.#table === undefined ? longestHead : 8;
    const end = Math.min(to, from + Math.max(0, room - this.#head.length));
    return chunk.toString('latin1', from, end);
  }

  #line(line: string): void {
    if (this.#table === undefined) {
      const name = line.startsWith('COPY ')
        ? copyLine.exec(Buffer.from(line, 'latin1').toString('utf8'))?.[1]
        : undefined;
      if (name === undefined) return;
      this.#table = plainName(name);
      this.counts[this.#table] ??= 0;
    } else if (line === '\\.' || line === '\\.\r') {
      this.#table = undefined;
    } else {
      this.counts[this.#table] = (this.counts[this.#table] ?? 0) + 1;
    }
  }
}

/** `public."Big Table"` → `public.Big Table`. */
function plainName(quoted: string): string {
  return quoted.replace(/"((?:[^"]|"")*)"/g, (_, inside: string) => inside.replaceAll('""', '"'));
}
