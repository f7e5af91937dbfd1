// Plugin pg: what PostgreSQL knows about itself, and dumps of its databases.
import { definePlugin } from 'cronwright/plugin';
import { catalog } from './catalog.ts';
import { describe } from './describe.ts';
import { dump } from './dump.ts';
import { objects } from './objects.ts';
import { rotate } from './rotate.ts';
import { verify } from './verify.ts';

export default definePlugin({
  name: 'pg',
  version: '1.0.0',
  apiVersion: 1,
  description: 'Reads the catalogue of PostgreSQL databases, dumps them and checks the dumps.',
  steps: { catalog, describe, dump, objects, rotate, verify },
});
