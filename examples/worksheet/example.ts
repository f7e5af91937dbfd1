// The example worksheet: one from a prompt, the same again byte for byte, and one that is told what is to change.
import { createHash } from 'node:crypto';
import type { Api, Example, FinishedRun, ModelQuestion, OpenWait, PreparedExample } from '../example.ts';

const prompt = 'Create a math worksheet';
const inputs = { prompt, user_id: 'u-1' };

const example: Example = {
  name: 'worksheet',
  title: 'A worksheet as a PDF, from a prompt',
  needs: ['pdflatex'],
  model,
  async prepare(): Promise<PreparedExample> {
    return {
      env: {},
      runs: [
        { pipeline: 'worksheet', inputs },
        { pipeline: 'worksheet', inputs },
        { pipeline: 'worksheet', inputs: { ...inputs, refine: ['Make it more minimal'] } },
      ],
      // Where a model's document does not compile.
      answer: ({ step }: OpenWait) => (step === 'compile' ? { decision: 'ai_fix' } : undefined),
      check,
    };
  },
};

export default example;

const plan = {
  title: 'Math worksheet',
  instructions: 'Work out each sum.',
  columns: 1,
  answer_key: false,
  sections: [{ title: 'Addition', text: '', exercises: [{ question: '1 + 2 = ____', answer: '3' }] }],
};

/** As a model might, with the fences and courtesies that it was told to leave away. */
function model({ system, prompt: asked }: ModelQuestion): string | undefined {
  if (!system.startsWith('You are a deterministic document')) return undefined;
  if (system.includes('You plan documents')) {
    return JSON.stringify(asked.includes('minimal') ? { ...plan, instructions: '' } : plan);
  }
  if (system.includes('turn the plan of a document into LaTeX')) {
    const { instructions } = JSON.parse(asked.slice(asked.indexOf('{'))) as typeof plan;
    const lines = [
      '\\documentclass{article}',
      '\\begin{document}',
      'Math worksheet',
      '',
      instructions,
      '$1 + 2 =$',
      '\\end{document}',
    ];
    return `Certainly! Here it is:\n\`\`\`latex\n${lines.join('\n')}\n\`\`\``;
  }
  if (system.includes('words under which people look for it')) return '{"tags": ["math", "worksheet"]}';
  if (system.includes('say the\nwhole request anew')) return 'Create a minimal math worksheet';
  if (system.includes('describe a document')) return 'A math worksheet with one sum.';
  return undefined;
}

async function check(finished: readonly FinishedRun[], api: Api): Promise<string[]> {
  const pdfs: { pages: number; sha256: string }[] = [];
  for (const { id, state, run, steps } of finished) {
    if (state !== 'completed') throw new Error(`the run ${id} is ${state}: ${JSON.stringify(run.error)}`);
    const compiled = steps.find(({ step }) => step === 'compile')?.output as {
      id: string;
      sha256: string;
      pages: number;
      url: string;
    };
    const pdf = await api.bytes(`/runs/${id}/artifacts/${compiled.id}`);
    if (Buffer.from(pdf.subarray(0, 5)).toString('latin1') !== '%PDF-') throw new Error(`${compiled.url} is no PDF`);
    const sha256 = createHash('sha256').update(pdf).digest('hex');
    if (sha256 !== compiled.sha256) throw new Error(`${compiled.url} is not what was compiled`);
    pdfs.push({ pages: compiled.pages, sha256 });
  }
  const [first, again, refined] = pdfs;
  if (first?.sha256 !== again?.sha256) throw new Error('the same prompt gave two different PDFs');
  if (refined?.sha256 === first?.sha256) throw new Error('a refined prompt gave the same PDF');
  return [`twice the same ${first?.pages} pages, byte for byte; refined: ${refined?.pages} page(s)`];
}
