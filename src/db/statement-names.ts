// Keeps one text per statement name, because a prepared statement answers by its name alone.
import type { Statement } from './database.ts';

// PostgreSQL cuts longer names silently, and two cut names may become one.
const longestName = 63;

export interface StatementNames {
  /** Throws where the name is too long or already stands for another text. */
  check(statement: Statement): void;
}

export function createStatementNames(): StatementNames {
  const texts = new Map<string, string>();
  return {
    check({ name, text, prepare }) {
      if (prepare === false) return;
      const known = texts.get(name);
      if (known === text) return;
      if (known !== undefined) {
        throw new Error(`two statements are named "${name}", expected one text per name: "${known}" and "${text}"`);
      }
      if (Buffer.byteLength(name) > longestName || name === '') {
        throw new Error(
          `the statement name "${name}" has ${Buffer.byteLength(name)} bytes, expected 1 to ${longestName}`,
        );
      }
      texts.set(name, text);
    },
  };
}

/** Whether sending it twice does no harm: said so by its author, or plainly a read. */
export function isRepeatable(statement: Statement): boolean {
  return statement.idempotent ?? isRead(statement.text);
}

/** Whether it only reads: its first word is `select` (one that begins with `with` may write). */
export function isRead(text: string): boolean {
  return /^(?:\s|--[^\n]*\n)*select\b/i.test(text);
}
