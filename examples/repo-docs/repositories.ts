// The repositories that the example repo-docs documents: small, in three languages, each with a bare remote of its own.
import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';

export interface SourceRepository {
  /** Bare: what the pipeline is given. */
  path: string;
  url: string;
  /** Where people work on it. */
  clone: string;
}

export async function git(cwd: string, ...args: string[]): Promise<string> {
  const settings = ['user.name=Ada', 'user.email=ada@example.org', 'commit.gpgsign=false', 'safe.directory=*'];
  const options = settings.flatMap((setting) => ['-c', setting]);
  const { stdout } = await promisify(execFile)('git', [...options, ...args], { cwd });
  return stdout.trim();
}

/** `<dir>/<name>.git` with the files on its branch main, and `<dir>/<name>`, a clone of it. */
export async function makeRepository(
  dir: string,
  name: string,
  files: Readonly<Record<string, string>>,
): Promise<SourceRepository> {
  const path = join(dir, `${name}.git`);
  const clone = join(dir, name);
  await mkdir(clone, { recursive: true });
  await git(dir, 'init', '--quiet', '--bare', '--initial-branch', 'main', path);
  await git(clone, 'init', '--quiet', '--initial-branch', 'main');
  await git(clone, 'remote', 'add', 'origin', path);
  const repository = { path, url: pathToFileURL(path).href, clone };
  await publish(repository, files, 'Begin');
  return repository;
}

/** A commit of these files on main, pushed. */
export async function publish(
  { clone }: SourceRepository,
  files: Readonly<Record<string, string>>,
  message: string,
): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(clone, name)), { recursive: true });
    await writeFile(join(clone, name), content);
  }
  await git(clone, 'add', '--all');
  await git(clone, 'commit', '--quiet', '--message', message);
  await git(clone, 'push', '--quiet', 'origin', 'main');
}

export const shop = {
  'README.md': '# Shop\n',
  'src/money.ts': `/** Amounts of money, in whole cents so that sums are exact. */

/** An amount in one currency. */
export interface Money {
  /** Whole cents. */
  cents: number;
  /** ISO 4217, such as EUR. */
  currency: string;
}

/**
 * The sum of two amounts.
 *
 * @param a - one amount
 * @param b - the other one, in the same currency
 * @returns a new amount
 * @throws RangeError where the currencies differ
 */
export function add(a: Money, b: Money): Money {
  if (a.currency !== b.currency) throw new RangeError(\`\${a.currency} is not \${b.currency}\`);
  return { cents: a.cents + b.cents, currency: a.currency };
}

/** The amount as people write it: \`12.50 EUR\`. */
export function format({ cents, currency }: Money): string {
  return \`\${(cents / 100).toFixed(2)} \${currency}\`;
}
`,
  'src/cart.ts': `/** A cart of things to buy. */
import { add, type Money } from './money.ts';

/** One line of a cart. */
export interface Line {
  sku: string;
  quantity: number;
  price: Money;
}

/** Collects lines and knows what they cost. */
export class Cart {
  readonly #lines = new Map<string, Line>();

  /** Puts a line in; an equal sku adds to the quantity. */
  put(line: Line): void {
    const known = this.#lines.get(line.sku);
    this.#lines.set(line.sku, known ? { ...known, quantity: known.quantity + line.quantity } : line);
  }

  /** What all lines cost together; undefined where the cart is empty. */
  total(): Money | undefined {
    const prices = [...this.#lines.values()].map(({ price, quantity }) => ({ ...price, cents: price.cents * quantity }));
    return prices.length === 0 ? undefined : prices.reduce(add);
  }
}
`,
};

export const stats = {
  'stats/summary.py': `"""Summaries of lists of numbers."""
from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """What a list of numbers comes to."""

    count: int
    mean: float
    median: float


def summarize(values: list[float]) -> Summary:
    """Summarize a list that is not empty.

    Args:
        values: Numbers in any order.

    Raises:
        ValueError: If there are no values.
    """
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    return Summary(len(ordered), sum(ordered) / len(ordered), median)
`,
  'stats/histogram.py': `"""Counts values by bins of equal width."""


def histogram(values: list[float], bins: int = 10) -> list[int]:
    """Count the values of each bin between the least and the greatest value."""
    low, high = min(values), max(values)
    width = (high - low) / bins or 1
    counts = [0] * bins
    for value in values:
        counts[min(bins - 1, int((value - low) / width))] += 1
    return counts
`,
};

export const relay = {
  'go.mod': 'module example.org/relay\n\ngo 1.22\n',
  'queue/queue.go': `// Package queue holds messages until somebody takes them.
package queue

import "errors"

// ErrFull says that a queue takes no more.
var ErrFull = errors.New("queue: full")

// Queue is a bounded queue, first in, first out. It is not safe for use by several goroutines.
type Queue struct {
	// Limit is the greatest number of messages; 0 is no limit.
	Limit int
	items []string
}

// Put appends a message, or returns ErrFull.
func (q *Queue) Put(message string) error {
	if q.Limit > 0 && len(q.items) >= q.Limit {
		return ErrFull
	}
	q.items = append(q.items, message)
	return nil
}

// Take removes the oldest message and reports whether there was one.
func (q *Queue) Take() (message string, ok bool) {
	if len(q.items) == 0 {
		return "", false
	}
	message, q.items = q.items[0], q.items[1:]
	return message, true
}
`,
};
