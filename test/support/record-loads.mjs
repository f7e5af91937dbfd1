// Preloaded into a process: writes the URL of every module it loads into the file that RECORD_LOADS names.
import { appendFileSync } from 'node:fs';
import { register } from 'node:module';

const hooks = `
import { appendFileSync } from 'node:fs';
export async function load(url, context, nextLoad) {
  appendFileSync(${JSON.stringify(process.env.RECORD_LOADS)}, url + '\\n');
  return nextLoad(url, context);
}`;
appendFileSync(process.env.RECORD_LOADS, '');
register(`data:text/javascript,${encodeURIComponent(hooks)}`);
