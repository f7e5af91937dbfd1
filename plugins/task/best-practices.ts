// What is good practice in each category, and which technologies a text names.
import type { Category, Subtask } from './subtask.ts';

const always: Readonly<Record<Category, readonly string[]>> = {
  DATA_MODEL: [
    'State in the schema what has to hold: keys, uniqueness, what may be absent',
    'Change the schema by migrations that can be run again',
    'Index what is searched by, and nothing else',
  ],
  SERVICE: [
    'Keep rules in one place, apart from transport and storage',
    'Change several rows in one transaction',
    'Fail early, with an error that says what was wrong',
    'Take what the service depends on as parameters',
  ],
  HTTP_API: [
    'Check every input at the edge, and answer 400 with where and why',
    'Use the status codes of HTTP for what they mean',
    'Ask who it is before anything else, and say nothing of the inside in errors',
    'Describe every route in OpenAPI',
  ],
  TESTING: [
    'Name a test by the behaviour that it shows',
    'Test what is refused as well as what works',
    'Let tests run in any order, without sleeping for luck',
    'Use real parts where they are cheap',
  ],
};

/** More of it, where the subtask says something that asks for it. */
const where: readonly { category: Category; pattern: RegExp; practice: string }[] = [
  {
    category: 'DATA_MODEL',
    pattern: /\bunique\b/i,
    practice: 'Let the database refuse duplicates: a unique constraint, not a look before',
  },
  { category: 'DATA_MODEL', pattern: /\bbelongs to\b/i, practice: 'Foreign keys with a stated rule for deletion' },
  {
    category: 'DATA_MODEL',
    pattern: /\b(?:price|total|amount|balance|cost|money)\b/i,
    practice: 'Money as exact decimals, never as floating point',
  },
  {
    category: 'DATA_MODEL',
    pattern: /\b(?:date|time|deadline|due|hours|days)\b/i,
    practice: 'Instants in UTC, with their zone where the wall clock counts',
  },
  {
    category: 'SERVICE',
    pattern: /\b(?:send|remind|notify|mail|deliver)/i,
    practice: 'Messages leave by an outbox, once, with an idempotency key',
  },
  {
    category: 'SERVICE',
    pattern: /\b(?:at most|at least|maximum|minimum|no more than|limit)/i,
    practice: 'Hold limits under concurrency: decide by one statement',
  },
  {
    category: 'SERVICE',
    pattern: /\b(?:pay|refund|charge)/i,
    practice: 'Payments are idempotent, and every one of them is on record',
  },
  { category: 'HTTP_API', pattern: /\bGET\b/, practice: 'Lists come in pages' },
  { category: 'HTTP_API', pattern: /\bPOST\b/, practice: 'Take an idempotency key where something is created' },
  {
    category: 'HTTP_API',
    pattern: /\b(?:upload|photo|image|file)/i,
    practice: 'Bound the size and check the type of what is uploaded',
  },
  { category: 'TESTING', pattern: /\bUnit tests\b/, practice: 'No network and no clock of the machine in unit tests' },
  { category: 'TESTING', pattern: /\bEnd-to-end\b/, practice: 'Speak to the program over HTTP only' },
];

export function practicesFor(one: Pick<Subtask, 'category' | 'title' | 'requirements'>): string[] {
  const text = [one.title, ...one.requirements].join('\n');
  const more = where.filter(({ category, pattern }) => category === one.category && pattern.test(text));
  return [...always[one.category], ...more.map(({ practice }) => practice)];
}

const technologies = [
  ...[
    'TypeScript',
    'JavaScript',
    'Node.js',
    'NestJS',
    'Express',
    'Python',
    'Django',
    'FastAPI',
    'Go',
    'Rust',
    'Java',
    'Spring',
    'Kotlin',
  ],
  ...[
    'PostgreSQL',
    'MySQL',
    'SQLite',
    'MongoDB',
    'Redis',
    'Prisma',
    'GraphQL',
    'Kafka',
    'RabbitMQ',
    'S3',
    'JWT',
    'OAuth',
    'WebSocket',
  ],
  ...['React', 'Vue', 'Angular', 'Jest', 'Vitest', 'Playwright', 'pytest', 'Docker', 'Kubernetes'],
];

/** Technologies that a text names, as they are written by those who make them. */
export function technologiesIn(text: string): string[] {
  // Go is also a verb.
  return technologies.filter((name) => {
    const word = name.replace(/[.]/g, '\\.');
    return new RegExp(`(?<![\\w-])${word}(?![\\w-])`, name === 'Go' || name === 'Spring' ? '' : 'i').test(text);
  });
}
