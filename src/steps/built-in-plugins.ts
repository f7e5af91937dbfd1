// The plugins that come with Cronwright; the only file of src that knows the folder plugins/.
import type { BuiltInPlugins } from './load-plugins.ts';

/** Imported when they are loaded, so that a command that needs none of them does not pay for them. */
export const builtInPlugins: BuiltInPlugins = {
  artifact: () => import('../../plugins/artifact/index.ts'),
  code: () => import('../../plugins/code/index.ts'),
  cost: () => import('../../plugins/cost/index.ts'),
  docs: () => import('../../plugins/docs/index.ts'),
  file: () => import('../../plugins/file/index.ts'),
  git: () => import('../../plugins/git/index.ts'),
  http: () => import('../../plugins/http/index.ts'),
  latex: () => import('../../plugins/latex/index.ts'),
  llm: () => import('../../plugins/llm/index.ts'),
  notify: () => import('../../plugins/notify/index.ts'),
  pg: () => import('../../plugins/pg/index.ts'),
  pipeline: () => import('../../plugins/pipeline/index.ts'),
  shell: () => import('../../plugins/shell/index.ts'),
  sql: () => import('../../plugins/sql/index.ts'),
  task: () => import('../../plugins/task/index.ts'),
  text: () => import('../../plugins/text/index.ts'),
  wait: () => import('../../plugins/wait/index.ts'),
};
