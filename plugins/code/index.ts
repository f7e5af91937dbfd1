// The plugin code: reads source code for what can be said about it.
import { definePlugin } from 'cronwright/plugin';
import { analyze } from './analyze.ts';

export default definePlugin({
  name: 'code',
  version: '1.0.0',
  apiVersion: 1,
  description: 'Source code: which modules there are, and what they offer',
  steps: { analyze },
});
