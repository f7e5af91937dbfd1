// Tests of the step, run as Cronwright runs it: in a process of its own, input and output checked against plugin.yaml.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testStep } from 'cronwright/testing';

const plugin = new URL('./plugin.yaml', import.meta.url);
const programEnv = { PATH: process.env.PATH };

test('disk_space says how much room there is', async () => {
  const { output } = await testStep(plugin, { step: 'disk_space', input: {}, programEnv });
  assert.ok(output.free_mb > 0);
});

test('disk_space says when that is too little', async () => {
  const { output } = await testStep(plugin, { step: 'disk_space', input: { low_below_mb: 1e9 }, programEnv });
  assert.equal(output.low, true);
});

test('disk_space is not started with an input that does not fit', async () => {
  const { error } = await testStep(plugin, { step: 'disk_space', input: { low_below_mb: 'much' }, programEnv });
  assert.equal(error.name, 'ValidationError');
});
