// A scope with a bit of everything, for tests of expressions.
import type { Scope } from '../../src/domain/expressions/scope.ts';

export function createTestScope(changes: Partial<Scope> = {}): Scope {
  return {
    inputs: { count: 3, ratio: 2, name: 'docs', list: [1, 2, 3], note: null, deep: { a: { b: 'end' } } },
    steps: {
      list: {
        output: {
          files: [
            { path: 'a', size: 4 },
            { path: 'b', size: 6 },
          ],
          total: 2,
          ratio: 4,
          big: 2 ** 60,
        },
        state: 'completed',
        error: null,
      },
      broken: {
        output: null,
        state: 'failed',
        error: { name: 'TimeoutError', message: 'too slow', class: 'transient' },
      },
    },
    run: {
      id: '0190-run',
      pipeline: 'demo',
      tenant: 'acme',
      origin: 'api',
      attempt: 1,
      created_at: '2026-01-01T00:00:00Z',
      dry_run: false,
      api_url: '',
    },
    schedule: null,
    env: { TZ: 'UTC' },
    secrets: { TOKEN: 'hunter2' },
    tenant: 'acme',
    ...changes,
  };
}
