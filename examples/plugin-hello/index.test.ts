// Tests of the plugin with Node's own test runner. Run them with `npm test` in this folder.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testStep } from 'cronwright/testing';
import plugin from './index.ts';

test('greet greets the world where no name is given', async () => {
  const { output, artifacts } = await testStep<{ greeting: string }>(plugin, { input: {} });
  assert.equal(output?.greeting, 'Hello, world!');
  assert.equal(artifacts[0]?.text, 'Hello, world!');
});

test('greet greets nobody, and does not try again', async () => {
  const { error, attempts } = await testStep(plugin, { input: { name: 'nobody' }, attempts: 3 });
  assert.equal(error?.message, 'nobody cannot be greeted');
  assert.equal(attempts.length, 1);
});

test('greet refuses a number of times that makes no sense', async () => {
  const { error } = await testStep(plugin, { input: { times: 0 } });
  assert.equal(error?.name, 'ValidationError');
});

test('greet ends when the run is cancelled', async () => {
  const { aborted, progress } = await testStep(plugin, {
    input: { times: 100, pause_ms: 1 },
    watch: (seen, abort) => {
      if (seen.kind === 'progress' && seen.done === 3) abort('cancelled');
    },
  });
  assert.equal(aborted, 'cancelled');
  assert.equal(progress.length, 3);
});
