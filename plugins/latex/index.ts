// Plugin latex: documents from a prompt to a PDF, each stage a step, with repairs of what does not compile.
import { definePlugin } from 'cronwright/plugin';
import { compile } from './compile.ts';
import { describe } from './describe.ts';
import { design } from './design.ts';
import { fix } from './fix.ts';
import { generate } from './generate.ts';
import { refine } from './refine.ts';
import { tags } from './tags.ts';
import { validatePrompt } from './validate-prompt.ts';

export default definePlugin({
  name: 'latex',
  version: '1.0.0',
  apiVersion: 1,
  description: 'Designs, writes, repairs and compiles LaTeX documents.',
  steps: { validate_prompt: validatePrompt, design, generate, compile, fix, refine, describe, tags },
});
