// Plugin shell: runs a program or a script in the run's workspace.
import { definePlugin } from 'cronwright/plugin';
import { run } from './run.ts';

export default definePlugin({
  name: 'shell',
  version: '1.0.0',
  apiVersion: 1,
  description: 'Runs programs and shell scripts.',
  steps: { run },
});
