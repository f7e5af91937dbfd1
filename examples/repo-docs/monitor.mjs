// Watches one run until it has ended: node monitor.mjs RUN [DAEMON]. Asks every 5 seconds; a token comes from CRONWRIGHT_TOKEN.
import { setTimeout as sleep } from 'node:timers/promises';

const [run, url = 'http://127.0.0.1:8080'] = process.argv.slice(2);
const token = process.env.CRONWRIGHT_TOKEN;
const headers = token ? { authorization: `Bearer ${token}` } : {};
const ended = ['completed', 'failed', 'cancelled', 'rolled_back', 'dead_letter'];

for (let state = ''; !ended.includes(state); ) {
  if (state !== '') await sleep(5_000);
  const answer = await fetch(`${url}/api/v1/runs/${run}`, { headers });
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.detail);
  state = told.state;
  const more = [told.message, told.eta && `until ${told.eta}`, told.retries && `${told.retries} retries`];
  console.log([`${told.progress.toFixed(1)} %`, state, ...more.filter(Boolean)].join('  '));
}
