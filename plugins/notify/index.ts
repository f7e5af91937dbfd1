// Plugin notify: tells people and systems what happened, now or through the outbox.
import { definePlugin } from 'cronwright/plugin';
import { email } from './email.ts';
import { webhook } from './webhook.ts';

export default definePlugin({
  name: 'notify',
  version: '1.0.0',
  apiVersion: 1,
  description: 'Signed webhooks and mail, kept until they are delivered.',
  steps: { webhook, email },
});
