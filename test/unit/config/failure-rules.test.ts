// What YAML says of failures becomes what the engine goes by.
import { describe, expect, it } from 'vitest';
import { buildPipeline } from '../../../src/config/build-pipeline.ts';
import { pipelineSchema } from '../../../src/config/pipeline-schema.ts';

function build(step: object, more: object = {}) {
  const hello = { id: 'hello', uses: 'test.echo', ...step };
  return buildPipeline(pipelineSchema.parse({ id: 'demo', steps: [hello], ...more }), {});
}

describe('what becomes of failures', () => {
  it('is not said where the file does not say it, so that the version stays what it was', () => {
    const pipeline = build({});
    expect(pipeline).not.toHaveProperty('onExhausted');
    expect(pipeline.steps[0]).not.toHaveProperty('onExhausted');
    expect(pipeline.steps[0]).not.toHaveProperty('onError');
  });

  it('is the word of the step and of the pipeline, each its own', () => {
    const pipeline = build({ on_exhausted: 'dead_letter' }, { on_exhausted: 'wait_manual' });
    expect(pipeline.onExhausted).toBe('wait_manual');
    expect(pipeline.steps[0]?.onExhausted).toBe('dead_letter');
  });

  it('has a choice by the name of an error, with its time and its repair', () => {
    const fix = { uses: 'test.free', with: { why: '${{ error.message }}' } };
    const { steps } = build({
      on_error: {
        CompileError: { choose: ['manual_edit', 'ai_fix'], timeout: '2d', ai_fix: fix },
        Other: { choose: ['manual_edit'] },
      },
    });
    expect(steps[0]?.onError).toEqual({
      CompileError: { choose: ['manual_edit', 'ai_fix'], timeoutMs: 172_800_000, aiFix: { ...fix, max: 3 } },
      Other: { choose: ['manual_edit'] },
    });
  });
});
