// Writes the LaTeX of a plan: the same plan, the same bytes, and every text in it escaped.
import type { DocumentDesign } from './document-design.ts';
import { escapeLatex } from './escape-latex.ts';

type Section = DocumentDesign['sections'][number];

export function renderDocument(design: DocumentDesign): string {
  const lines = [
    '\\documentclass[11pt,a4paper]{article}',
    '\\usepackage[T1]{fontenc}',
    '\\usepackage{lmodern}',
    '\\usepackage{textcomp}',
    '\\usepackage[margin=2.5cm]{geometry}',
    '\\usepackage{multicol}',
    '\\setlength{\\parindent}{0pt}',
    '\\setlength{\\parskip}{6pt}',
    '\\pagestyle{plain}',
    '\\begin{document}',
    `\\begin{center}\\Large\\bfseries ${inline(design.title)}\\end{center}`,
    ...(design.instructions === '' ? [] : [paragraphs(design.instructions)]),
    ...design.sections.flatMap((section) => sectionLines(section, design.columns)),
    ...(design.answer_key ? answerLines(design) : []),
    '\\end{document}',
  ];
  return `${lines.join('\n')}\n`;
}

function sectionLines({ title, text, exercises }: Section, columns: number): string[] {
  return [
    '',
    ...(title === '' ? [] : [`\\section*{${inline(title)}}`]),
    ...(text === '' ? [] : [paragraphs(text)]),
    ...inColumns(listOf(exercises.map(({ question }) => question)), columns),
  ];
}

function answerLines({ sections }: DocumentDesign): string[] {
  const answered = sections.filter(({ exercises }) => exercises.some(({ answer }) => answer !== ''));
  if (answered.length === 0) return [];
  return [
    '\\newpage',
    '\\section*{Answers}',
    ...answered.flatMap(({ title, exercises }) => [
      ...(title === '' ? [] : [`\\subsection*{${inline(title)}}`]),
      ...inColumns(listOf(exercises.map(({ answer }) => answer)), 3),
    ]),
  ];
}

/** Braces: a text that begins with a bracket would be the item's label. */
function listOf(texts: readonly string[]): string[] {
  if (texts.length === 0) return [];
  return ['\\begin{enumerate}', ...texts.map((text) => `\\item {}${inline(text)}`), '\\end{enumerate}'];
}

function inColumns(lines: readonly string[], columns: number): string[] {
  if (columns === 1 || lines.length === 0) return [...lines];
  return [`\\begin{multicols}{${columns}}`, ...lines, '\\end{multicols}'];
}

function inline(text: string): string {
  return escapeLatex(text.replace(/\s+/g, ' ').trim());
}

function paragraphs(text: string): string {
  return text
    .split(/\n\s*\n/)
    .map((part) => inline(part))
    .filter((part) => part !== '')
    .join('\n\n');
}
