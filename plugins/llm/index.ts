// Plugin llm: questions to language models.
import { definePlugin } from 'cronwright/plugin';
import { chat } from './chat.ts';
import { json } from './json.ts';

export default definePlugin({
  name: 'llm',
  version: '1.0.0',
  apiVersion: 1,
  description: 'Asks language models; without one it answers from a template.',
  steps: { chat, json },
});
