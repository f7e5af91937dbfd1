// The plugin task: turns a task into subtasks, enriches them and writes prompts to carry them out.
import { definePlugin } from 'cronwright/plugin';
import { decompose } from './decompose.ts';
import { enrich } from './enrich.ts';
import { prompts } from './prompts.ts';

export default definePlugin({
  name: 'task',
  version: '1.0.0',
  apiVersion: 1,
  description: 'Tasks of software development: subtasks in four categories, and prompts to carry them out',
  steps: { decompose, enrich, prompts },
});
