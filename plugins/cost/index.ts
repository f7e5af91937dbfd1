// Plugin cost: what a run is expected to cost, and what it has cost.
import { definePlugin } from 'cronwright/plugin';
import { estimate } from './estimate.ts';
import { report } from './report.ts';

export default definePlugin({
  name: 'cost',
  version: '1.0.0',
  apiVersion: 1,
  description: 'Estimates what a run will cost, and reports what it has cost.',
  steps: { estimate, report },
});
