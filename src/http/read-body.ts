// Reads a request's body: at most so many bytes, only what the route takes, and errors that say where.
import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import { CronwrightError } from '../domain/errors.ts';
import { findJsonError } from './find-json-error.ts';

/** An empty body is undefined. Throws `unsupported_media_type`, `too_large`, `invalid_input`. */
export async function readJson(incoming: IncomingMessage, limit: number): Promise<unknown> {
  requireContentType(incoming, 'application/json');
  const text = await readText(incoming, limit);
  if (text.trim() === '') return undefined;
  try {
    return JSON.parse(text);
  } catch {
    const { offset, line, column } = findJsonError(text);
    throw new CronwrightError('invalid_input', `the body is not JSON at line ${line}, column ${column}`, {
      problems: [{ path: 'body', line, column, message: 'not JSON', got: excerpt(text, offset), expected: 'JSON' }],
    });
  }
}

/** A browser's form. Throws `unsupported_media_type`, `too_large`, `invalid_input`. */
export async function readForm(incoming: IncomingMessage, limit: number): Promise<URLSearchParams> {
  requireContentType(incoming, 'application/x-www-form-urlencoded');
  return new URLSearchParams(await readText(incoming, limit));
}

function requireContentType(incoming: IncomingMessage, expected: string): void {
  const given = incoming.headers['content-type'];
  if (given?.split(';', 1)[0]?.trim().toLowerCase() === expected) return;
  throw new CronwrightError(
    'unsupported_media_type',
    `the content type is ${given === undefined ? 'missing' : `"${given}"`}, expected "${expected}"`,
  );
}

async function readText(incoming: IncomingMessage, limit: number): Promise<string> {
  const announced = Number(incoming.headers['content-length'] ?? 0);
  if (announced > limit) {
    await passOver(incoming);
    throw tooLarge(limit);
  }
  const bytes = await readBytes(incoming, limit);
  if (!isUtf8(bytes)) throw new CronwrightError('invalid_input', 'the body is not UTF-8');
  return bytes.toString();
}

/** By events, because an iterator over the stream costs as much as the rest of a small request. */
function readBytes(incoming: IncomingMessage, limit: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    incoming.on('data', (chunk: Buffer) => {
      const isFirstTooMany = size <= limit && size + chunk.byteLength > limit;
      size += chunk.byteLength;
      if (size <= limit) chunks.push(chunk);
      else if (isFirstTooMany) void passOver(incoming).then(() => reject(tooLarge(limit)));
    });
    incoming.on('end', () => {
      if (size > limit) return;
      const [first] = chunks;
      resolve(chunks.length === 1 && first ? first : Buffer.concat(chunks));
    });
    incoming.on('error', reject);
    incoming.on('close', () => {
      if (size <= limit) reject(new CronwrightError('invalid_input', 'the body ended before its end'));
    });
  });
}

const passOverBytes = 67_108_864;
const passOverMs = 5_000;
const idleMs = 500;

/**
 * Reads on without keeping anything: who is still sending when the connection closes meets a reset instead of the answer.
 * Who sends without end, or stops sending, is not waited for.
 */
function passOver(incoming: IncomingMessage): Promise<void> {
  return new Promise((resolve) => {
    let size = 0;
    const whole = setTimeout(end, passOverMs);
    const idle = setTimeout(end, idleMs);
    function onData(chunk: Buffer): void {
      size += chunk.byteLength;
      idle.refresh();
      if (size > passOverBytes) end();
    }
    function end(): void {
      clearTimeout(whole);
      clearTimeout(idle);
      incoming.off('data', onData);
      for (const name of ['end', 'close', 'error']) incoming.off(name, end);
      resolve();
    }
    for (const name of ['end', 'close', 'error']) incoming.once(name, end);
    incoming.on('data', onData);
  });
}

function tooLarge(limit: number): CronwrightError {
  return new CronwrightError('too_large', `the body is larger than ${limit} bytes`, { details: { limit } });
}

function excerpt(text: string, offset: number): string {
  return offset >= text.length ? 'the end of the body' : JSON.stringify(text.slice(offset, offset + 20));
}
