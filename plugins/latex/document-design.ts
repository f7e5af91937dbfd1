// The plan of a document, between the prompt and its LaTeX.
import { z } from 'zod';

const text = (most: number) => z.string().max(most);

export const documentDesign = z.strictObject({
  title: text(200).min(1),
  instructions: text(2_000).describe('What the reader is to do; may be empty.'),
  columns: z.int().min(1).max(3).describe('In which exercises stand.'),
  answer_key: z.boolean().describe('Whether the answers stand on a page at the end.'),
  sections: z
    .array(
      z.strictObject({
        title: text(200),
        text: text(20_000).describe('Paragraphs, parted by empty lines; may be empty.'),
        exercises: z.array(z.strictObject({ question: text(2_000).min(1), answer: text(2_000) })).max(200),
      }),
    )
    .min(1)
    .max(50),
});

export type DocumentDesign = z.infer<typeof documentDesign>;

export function countExercises({ sections }: DocumentDesign): number {
  return sections.reduce((sum, { exercises }) => sum + exercises.length, 0);
}
