// A run as the queue's operations take it, for tests that need one and care for little of it.
import { uuidv7 } from 'uuidv7';
import type { NewRun } from '../../src/domain/new-run.ts';

export function newRunOf(queue: string, overrides: Partial<NewRun> = {}): NewRun {
  return {
    id: uuidv7(),
    tenant: 'default',
    pipeline: 'build',
    pipelineVersion: 'v1',
    schedule: null,
    nominalAt: null,
    nominalCount: 1,
    late: false,
    origin: 'api',
    priority: 5,
    queue,
    weight: 'light',
    inputs: null,
    dryRun: false,
    actor: null,
    parentId: null,
    traceparent: null,
    runAt: null,
    limits: [],
    ...overrides,
  };
}
