// What the examples need of the machine: whether it is there, and where not, what to install.
import { spawnSync } from 'node:child_process';
import type { Need } from '../example.ts';

const programs: Readonly<Record<Exclude<Need, 'postgresql'>, { program: string; args: string[]; install: string }>> = {
  git: { program: 'git', args: ['--version'], install: 'git' },
  pg_dump: { program: 'pg_dump', args: ['--version'], install: 'postgresql-client' },
  pdflatex: { program: 'pdflatex', args: ['--version'], install: 'texlive-latex-base lmodern' },
};

/** One sentence for each program that is missing. The server for `postgresql` is looked for when it is started. */
export function missing(needs: readonly Need[]): string[] {
  return needs.flatMap((need) => {
    if (need === 'postgresql') return [];
    const { program, args, install } = programs[need];
    if (spawnSync(program, args, { stdio: 'ignore' }).status === 0) return [];
    return [`there is no ${program} on the PATH; on Debian and Ubuntu: apt-get install ${install}`];
  });
}
