// The example worksheet: one from a prompt, the same again byte for byte, and one that is told what is to change.
import { createHash } from 'node:crypto';
import type { Api, Example, FinishedRun, OpenWait, PreparedExample } from '../example.ts';

const prompt = 'Create a math worksheet';
const inputs = { prompt, user_id: 'u-1' };

const example: Example = {
  name: 'worksheet',
  title: 'A worksheet as a PDF, from a prompt',
  needs: ['pdflatex'],
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
