// The test projects: what runs where, and how long each may take.
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const source = (path: string) => fileURLToPath(new URL(`./src/steps/${path}`, import.meta.url));
const alias = { 'cronwright/plugin': source('api.ts'), 'cronwright/testing': source('testing/test-step.ts') };

export default defineConfig({
  test: {
    reporters: ['default', './test/support/closing-line.ts'],
    // With `--coverage`, as `npm test` runs it. Daemons and steps in processes of their own are not counted.
    coverage: {
      provider: 'v8',
      include: ['src/**/*.ts', 'plugins/**/*.ts'],
      reporter: ['text-summary', 'json-summary'],
      thresholds: {
        lines: 75,
        'src/{control,maintenance,queue,reads,schedule,steps,store,worker}/**': { lines: 80 },
        'plugins/**': { lines: 80 },
        'src/http/**': { lines: 70 },
      },
    },
    // Projects of one group share its workers; a group begins when the one before it has ended.
    projects: [
      {
        resolve: { alias },
        test: {
          name: 'unit',
          sequence: { groupOrder: 0 },
          maxWorkers: 2,
          include: ['test/unit/**/*.test.ts', 'test/config/**/*.test.ts'],
          testTimeout: 20_000,
        },
      },
      {
        resolve: { alias },
        test: {
          name: 'conformance',
          sequence: { groupOrder: 0 },
          include: ['test/conformance/**/*.test.ts'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
          globalSetup: ['test/support/postgres-server.ts'],
          // Every file has databases of its own.
          maxWorkers: 2,
        },
      },
      {
        resolve: { alias },
        test: {
          name: 'integration',
          sequence: { groupOrder: 1 },
          include: ['test/integration/**/*.test.ts', 'test/plugins/**/*.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 60_000,
          globalSetup: ['test/support/built-program.ts', 'test/support/postgres-server.ts'],
          // Much of their time they wait: for leases, timers, peers.
          maxWorkers: 3,
        },
      },
      {
        resolve: { alias },
        test: {
          name: 'e2e',
          sequence: { groupOrder: 1 },
          include: ['test/e2e/**/*.test.ts'],
          testTimeout: 180_000,
          hookTimeout: 120_000,
          globalSetup: ['test/support/built-program.ts', 'test/support/postgres-server.ts'],
          // Much of their time they wait: for a minute to begin, a lease to end.
          maxWorkers: 3,
        },
      },
      {
        resolve: { alias },
        test: {
          name: 'chaos',
          sequence: { groupOrder: 2 },
          include: ['test/chaos/**/*.test.ts'],
          testTimeout: 180_000,
          hookTimeout: 120_000,
          globalSetup: ['test/support/built-program.ts', 'test/support/postgres-server.ts', 'test/chaos/figures.ts'],
          // The figures of the full suite are times: what runs beside them would count in them.
          maxWorkers: process.env.CHAOS_FULL === '1' ? 1 : 2,
        },
      },
    ],
  },
});
