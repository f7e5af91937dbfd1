// Plugin wait: lets time pass within a run, and asks people.
import { definePlugin } from 'cronwright/plugin';
import { approval } from './approval.ts';
import { sleep } from './sleep.ts';
import { until } from './until.ts';

export default definePlugin({
  name: 'wait',
  version: '1.1.0',
  apiVersion: 1,
  description: 'Waits for time and for people.',
  steps: { approval, sleep, until },
});
