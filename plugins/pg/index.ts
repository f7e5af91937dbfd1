// Plugin pg: what PostgreSQL knows about itself.
import { definePlugin } from 'cronwright/plugin';
import { catalog } from './catalog.ts';
import { describe } from './describe.ts';
import { objects } from './objects.ts';

export default definePlugin({
  name: 'pg',
  version: '1.0.0',
  apiVersion: 1,
  description: 'Reads the catalogue of PostgreSQL databases.',
  steps: { catalog, describe, objects },
});
