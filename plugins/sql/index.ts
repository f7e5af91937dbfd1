// Plugin sql: asks databases that the configuration names.
import { definePlugin } from 'cronwright/plugin';
import { query } from './query.ts';
import { rows } from './rows.ts';

export default definePlugin({
  name: 'sql',
  version: '1.0.0',
  apiVersion: 1,
  description: 'Queries named database connections.',
  steps: { query },
  sensors: { rows },
});
