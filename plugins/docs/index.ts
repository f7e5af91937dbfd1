// The plugin docs: writes what is known of code as Markdown that people like to read.
import { definePlugin } from 'cronwright/plugin';
import { describeObject } from './describe-object.ts';
import { generate } from './generate.ts';
import { report } from './job-report.ts';
import { pending } from './pending.ts';
import { store } from './store.ts';
import { validate } from './validate.ts';
import { index } from './write-index.ts';

export default definePlugin({
  name: 'docs',
  version: '1.0.0',
  apiVersion: 1,
  description: 'Documents: pages of modules with an index and a check of them, and pages of the objects of a database',
  steps: { generate, index, validate, describe_object: describeObject, pending, store, job_report: report },
});
