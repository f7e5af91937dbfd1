// Plugin file: writes and reads files of the run's workspace and of the data directory's files.
import { definePlugin } from 'cronwright/plugin';
import { read } from './read.ts';
import { write } from './write.ts';

export default definePlugin({
  name: 'file',
  version: '1.0.0',
  apiVersion: 1,
  description: 'Writes and reads files.',
  steps: { write, read },
});
