// Plugin text: makes texts (mails, pages, LaTeX) from templates.
import { definePlugin } from 'cronwright/plugin';
import { render } from './render.ts';

export default definePlugin({
  name: 'text',
  version: '1.0.0',
  apiVersion: 1,
  description: 'Renders text from Liquid templates.',
  steps: { render },
});
