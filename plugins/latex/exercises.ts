// Exercises and their answers, from numbers that a seed gives: right by how they are made.
import type { Difficulty } from './prompt-words.ts';
import type { SeededNumbers } from './seeded-numbers.ts';

export const topics = [
  'addition',
  'subtraction',
  'multiplication',
  'division',
  'fractions',
  'percentages',
  'equations',
] as const;

export type Topic = (typeof topics)[number];

export const topicTitles: Readonly<Record<Topic, string>> = {
  addition: 'Addition',
  subtraction: 'Subtraction',
  multiplication: 'Multiplication',
  division: 'Division',
  fractions: 'Fractions',
  percentages: 'Percentages',
  equations: 'Equations',
};

export interface Exercise {
  question: string;
  answer: string;
}

/** The largest number by difficulty: of sums, and of factors. */
const largest: Readonly<Record<Difficulty, { term: number; factor: number }>> = {
  easy: { term: 20, factor: 5 },
  medium: { term: 100, factor: 10 },
  hard: { term: 1_000, factor: 20 },
};

const blank = '____';

const makers: Readonly<Record<Topic, (level: Difficulty, numbers: SeededNumbers) => Exercise>> = {
  addition(level, { between }) {
    const [a, b] = [between(1, largest[level].term), between(1, largest[level].term)];
    return { question: `${a} + ${b} = ${blank}`, answer: String(a + b) };
  },
  subtraction(level, { between }) {
    const a = between(2, largest[level].term);
    const b = between(1, a - 1);
    return { question: `${a} − ${b} = ${blank}`, answer: String(a - b) };
  },
  multiplication(level, { between }) {
    const [a, b] = [between(2, largest[level].factor), between(2, largest[level].factor)];
    return { question: `${a} × ${b} = ${blank}`, answer: String(a * b) };
  },
  division(level, { between }) {
    const [a, b] = [between(2, largest[level].factor), between(2, largest[level].factor)];
    return { question: `${a * b} ÷ ${a} = ${blank}`, answer: String(b) };
  },
  fractions(level, { between }) {
    const below = between(2, largest[level].factor + 1);
    const [a, b] = [between(1, below - 1), between(1, below - 1)];
    return { question: `${a}/${below} + ${b}/${below} = ${blank}`, answer: fraction(a + b, below) };
  },
  percentages(level, { between }) {
    const percent = 5 * between(1, 19);
    const whole = 20 * between(1, largest[level].factor);
    return { question: `${percent} % of ${whole} = ${blank}`, answer: String((percent * whole) / 100) };
  },
  equations(level, { between }) {
    const [factor, x] = [between(2, largest[level].factor), between(1, largest[level].factor)];
    const term = between(1, largest[level].term);
    return { question: `${factor} x + ${term} = ${factor * x + term}, x = ${blank}`, answer: String(x) };
  },
};

export function exerciseOf(topic: Topic, level: Difficulty, numbers: SeededNumbers): Exercise {
  return makers[topic](level, numbers);
}

function fraction(above: number, below: number): string {
  const divisor = greatestDivisor(above, below);
  return below === divisor ? String(above / divisor) : `${above / divisor}/${below / divisor}`;
}

function greatestDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestDivisor(b, a % b);
}
