// The scenarios in the order they run.
import type { Scenario } from '../scenario.ts';
import { ceiling } from './ceiling.ts';
import { claimCost } from './claim-cost.ts';
import { enqueue } from './enqueue.ts';
import { enqueueHttp } from './enqueue-http.ts';
import { latency } from './latency.ts';
import { live } from './live.ts';
import { schedules } from './schedules.ts';
import { startUp } from './start-up.ts';
import { throughput } from './throughput.ts';

export const scenarios: readonly Scenario[] = [
  throughput,
  ceiling,
  enqueue,
  enqueueHttp,
  latency,
  claimCost,
  schedules,
  live,
  startUp,
];
