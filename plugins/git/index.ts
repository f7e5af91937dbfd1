// The plugin git: check out, compare, commit and push, without shared state and without credentials in sight.
import { definePlugin } from 'cronwright/plugin';
import { changed } from './changed.ts';
import { checkout } from './checkout.ts';
import { commit } from './commit.ts';
import { push } from './push.ts';

export default definePlugin({
  name: 'git',
  version: '1.0.0',
  apiVersion: 1,
  description: 'Git repositories: check out, compare, commit, push',
  steps: { checkout, changed, commit, push },
});
