// Plugin wait: lets time pass within a run.
import { definePlugin } from 'cronwright/plugin';
import { sleep } from './sleep.ts';

export default definePlugin({
  name: 'wait',
  version: '1.0.0',
  apiVersion: 1,
  description: 'Waits.',
  steps: { sleep },
});
