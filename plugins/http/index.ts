// Plugin http: speaks HTTP with other systems.
import { definePlugin } from 'cronwright/plugin';
import { request } from './request.ts';

export default definePlugin({
  name: 'http',
  version: '1.0.0',
  apiVersion: 1,
  description: 'HTTP requests, kept away from private networks.',
  steps: { request },
});
