// The plugin git: check out, compare, commit, push and ask to merge, without shared state and without credentials in sight.
import { definePlugin } from 'cronwright/plugin';
import { changed } from './changed.ts';
import { changes } from './changes.ts';
import { checkout } from './checkout.ts';
import { commit } from './commit.ts';
import { pr } from './pr.ts';
import { push } from './push.ts';

export default definePlugin({
  name: 'git',
  version: '1.0.0',
  apiVersion: 1,
  description: 'Git repositories: check out, compare, commit, push, pull requests',
  steps: { checkout, changed, commit, push, pr },
  sensors: { changes },
});
