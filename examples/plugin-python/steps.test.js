// Tests of the steps, run as Cronwright runs them: a process each, input and output checked against plugin.yaml.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { testStep } from 'cronwright/testing';

const plugin = new URL('./plugin.yaml', import.meta.url);
const programEnv = { PATH: process.env.PATH };

test('greet greets the world where no name is given', async () => {
  const { output, logs } = await testStep(plugin, { step: 'greet', input: {}, programEnv });
  assert.deepEqual(output, { greeting: 'Hello, world!' });
  assert.equal(logs[0].message, 'greeting');
});

test('count_words goes on where an earlier attempt stopped', async () => {
  const { output, attempts, checkpoint } = await testStep(plugin, {
    step: 'count_words',
    input: { files: ['one.txt', 'two.txt'] },
    programEnv,
    attempts: 2,
    beforeAttempt: ({ attempt, workspace }) => {
      writeFileSync(join(workspace, attempt === 1 ? 'one.txt' : 'two.txt'), 'three words here');
    },
  });
  assert.equal(attempts[0].error.name, 'FileMissing');
  assert.equal(output.words, 6);
  assert.deepEqual(checkpoint, { 'one.txt': 3, 'two.txt': 3 });
});
