// Plans a document from the words of its prompt alone: the same prompt, the same plan, exercises by a generator seeded from it.

import type { DocumentDesign } from './document-design.ts';
import { exerciseOf, type Topic, topicTitles } from './exercises.ts';
import { countOf, type Difficulty, hasWord, levelOf, titleOf, topicsOf, wantsLess } from './prompt-words.ts';
import { createSeededNumbers } from './seeded-numbers.ts';

const usualExercises = 8;
const mostExercises = 200;

/** A request for exercises becomes some; any other one a page that says what was asked for, and nothing else. */
export function planWorksheet(prompt: string): DocumentDesign {
  const topics = topicsOf(prompt);
  return topics.length === 0 ? planPage(prompt) : planExercises(prompt, topics);
}

function planExercises(prompt: string, topics: readonly Topic[]): DocumentDesign {
  const numbers = createSeededNumbers(prompt);
  const less = wantsLess(prompt);
  const level: Difficulty = levelOf(prompt);
  const asked = countOf(prompt) ?? topics.length * usualExercises;
  const total = Math.min(mostExercises, Math.max(topics.length, less ? Math.ceil(asked / 2) : asked));
  const sections = topics.map((topic, i) => {
    const count = Math.floor(total / topics.length) + (i < total % topics.length ? 1 : 0);
    const exercises = Array.from({ length: count }, () => exerciseOf(topic, level, numbers));
    return { title: topicTitles[topic], text: '', exercises };
  });
  return {
    title: titleOf(prompt),
    instructions: less ? '' : 'Work out each exercise and write the result on the line.',
    columns: less ? 1 : 2,
    answer_key: !less && !hasWord(prompt, /without (an )?answers?|no answers?/i),
    sections,
  };
}

/** Nothing is known but the request itself, so that is what the page says. */
function planPage(prompt: string): DocumentDesign {
  const sections = [{ title: '', text: prompt.slice(0, 20_000), exercises: [] }];
  return { title: titleOf(prompt), instructions: '', columns: 1, answer_key: false, sections };
}
