// The plugin docs: writes what is known of code as Markdown that people like to read.
import { definePlugin } from 'cronwright/plugin';
import { generate } from './generate.ts';
import { validate } from './validate.ts';
import { index } from './write-index.ts';

export default definePlugin({
  name: 'docs',
  version: '1.0.0',
  apiVersion: 1,
  description: 'Documents: a Markdown page for every module, an index, and a check of them',
  steps: { generate, index, validate },
});
