// Whether LaTeX can be compiled here; where not, it says so loudly.
import { execFileSync } from 'node:child_process';

export function hasPdflatex(): boolean {
  try {
    execFileSync('pdflatex', ['--version']);
    return true;
  } catch {
    console.warn(
      'SKIPPED: there is no pdflatex here, so nothing is compiled: apt-get install texlive-latex-base lmodern',
    );
    return false;
  }
}
