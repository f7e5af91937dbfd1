// Plugin pipeline: runs of other pipelines as steps of this one.
import { definePlugin } from 'cronwright/plugin';
import { run } from './run.ts';

export default definePlugin({
  name: 'pipeline',
  version: '1.0.0',
  apiVersion: 1,
  description: 'Runs other pipelines.',
  steps: { run },
});
