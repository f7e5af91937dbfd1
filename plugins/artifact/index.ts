// Plugin artifact: keeps files of a run, and brings them back.
import { definePlugin } from 'cronwright/plugin';
import { get } from './get.ts';
import { write } from './write.ts';

export default definePlugin({
  name: 'artifact',
  version: '1.0.0',
  apiVersion: 1,
  description: 'Keeps files of a run as artifacts, and reads them.',
  steps: { write, get },
});
