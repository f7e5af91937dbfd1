// latex.compile with the real pdflatex: what it makes, what it refuses, what it survives.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { escapeLatex } from '../../plugins/latex/escape-latex.ts';
import { planWorksheet } from '../../plugins/latex/plan-worksheet.ts';
import { renderDocument } from '../../plugins/latex/render-document.ts';
import { hasPdflatex } from '../support/has-pdflatex.ts';
import { errorOf, type Overrides, outputOf, type Ran, runStep } from '../support/step-context.ts';
import { tempFolder } from '../support/temp-folder.ts';

interface Compiled {
  id: string;
  name: string;
  sha256: string;
  bytes: number;
  pages: number;
  url: string;
  passes: number;
}

interface Details {
  reason: string;
  line: number | null;
  message: string;
  snippet: string | null;
  log: string | null;
  log_artifact: string | null;
}

const compile = (source: string, input: object = {}, overrides?: Overrides) =>
  runStep('latex.compile', { source, ...input }, overrides);
const article = (body: string, preamble = '') =>
  `\\documentclass{article}\n${preamble}\n\\begin{document}\n${body}\n\\end{document}\n`;
const detailsOf = (ran: Ran) => errorOf(ran).details as unknown as Details;
const pdfOf = (ran: Ran) => ran.recorded.artifacts.find(({ artifact }) => artifact.name.endsWith('.pdf'))?.content;

describe.runIf(hasPdflatex())('latex.compile', () => {
  it('makes a PDF with an address, and the same bytes in another folder at another time', async () => {
    const source = renderDocument(planWorksheet('Create a math worksheet'));
    const first = await compile(source, { name: 'worksheet' }, { runId: '0193a9e0-0000-7000-8000-000000000001' });
    const output = outputOf<Compiled>(first);
    expect(output).toMatchObject({ name: 'worksheet.pdf', pages: 2, passes: 1 });
    expect(output.url).toBe(`/api/v1/runs/0193a9e0-0000-7000-8000-000000000001/artifacts/${output.id}`);
    expect(Buffer.from(pdfOf(first) ?? []).toString('latin1', 0, 5)).toBe('%PDF-');
    expect(pdfOf(first)?.length).toBe(output.bytes);
    // PDF dates have seconds: these two differ in it unless the engine's clock stands.
    await new Promise((resolve) => setTimeout(resolve, 1_100 - (Date.now() % 1_000)));
    const second = await compile(source, { name: 'worksheet' });
    expect(second.workspaceDir).not.toBe(first.workspaceDir);
    expect(outputOf<Compiled>(second).sha256).toBe(output.sha256);
    expect(readdirSync(first.workspaceDir)).toEqual([]);
  });

  it('goes over a document again until its references are settled', async () => {
    const source = article(
      '\\tableofcontents\\section{One}\\label{a}See \\ref{b}, page \\pageref{b}.\\newpage\\section{Two}\\label{b}',
    );
    const { passes, pages } = outputOf<Compiled>(await compile(source));
    expect(passes).toBeGreaterThanOrEqual(2);
    expect(pages).toBe(2);
  });

  it('says of a faulty document which line it is, shows its neighbours and keeps the log', async () => {
    const ran = await compile(article('one\n\ntwo \\frobnicate three\n\nfour'));
    expect(errorOf(ran)).toMatchObject({ name: 'CompileError', class: 'fatal' });
    expect(errorOf(ran).message).toBe('line 6: Undefined control sequence \\frobnicate');
    const details = detailsOf(ran);
    expect(details).toMatchObject({ reason: 'error', line: 6, message: 'Undefined control sequence \\frobnicate' });
    expect(details.snippet).toContain('> 6 | two \\frobnicate three');
    expect(details.snippet).toContain('  4 | one');
    expect(details.log).toContain('pdfTeX');
    const log = ran.recorded.artifacts.find(({ artifact }) => artifact.id === details.log_artifact);
    expect(log?.artifact.name).toBe('document.log');
    expect(Buffer.from(log?.content ?? []).toString()).toContain('frobnicate');
    expect(pdfOf(ran)).toBeUndefined();
  });

  it('calls a document without pages an error', async () => {
    expect(detailsOf(await compile(article(''))).message).toBe('the document has no pages');
  });

  describe('reads nothing but its own folder and the installation', () => {
    // Digits: their font kerns none of them apart.
    const secret = '739173917391';
    const neighbourhood = tempFolder('neighbourhood');
    const outside = join(tempFolder('outside'), 'secret.tex');
    writeFileSync(outside, `${secret}\n`);
    symlinkSync(outside, join(neighbourhood, 'link.tex'));
    // The engine's folder is in the workspace, so that the link is one up.
    const places = ['/etc/passwd', outside, '../link.tex'];
    const ways: [string, (path: string) => string][] = [
      ['input', (path) => `\\input{${path}}`],
      ['include', (path) => `\\include{${path}}`],
      [
        'openin',
        (path) => `\\newread\\f\\openin\\f=${path} \\ifeof\\f\\else\\read\\f to\\l\\typeout{\\meaning\\l}\\l\\fi x`,
      ],
      ['verbatiminput', (path) => `\\verbatiminput{${path}}x`],
      ['graphics', (path) => `\\includegraphics{${path}}`],
      ['pdf image', (path) => `\\pdfximage{${path}}\\pdfrefximage\\pdflastximage`],
      ['pdf object', (path) => `\\immediate\\pdfobj stream file {${path}}\\pdfrefobj\\pdflastobj x`],
      ['pdf object by its other name', (path) => `\\immediate\\csname tex_pdfobj:D\\endcsname stream file {${path}}x`],
      ['primitive', (path) => `\\immediate\\pdfprimitive\\pdfobj stream file {${path}}x`],
      ['font map', (path) => `\\pdfmapfile{${path}}x`],
      ['font map line', (path) => `\\pdfmapline{=cmr10 CMR10 <<${path}}x`],
      ['file dump', (path) => `\\typeout{\\pdffiledump length 99 {${path}}}x`],
      ['pipe', (path) => `\\input{|"cat ${path}"}x`],
      ['font', (path) => `\\font\\x=${path} \\x x`],
    ];
    it.each(ways)('by %s', async (_way, write) => {
      const ran = await Promise.all(
        places.map((path) => {
          const source = article(write(path), '\\usepackage{verbatim,graphicx}\\pdfcompresslevel0');
          return compile(source, {}, { workspaceDir: neighbourhood });
        }),
      );
      for (const { result, recorded } of ran) {
        const kept = recorded.artifacts.map(({ content }) => Buffer.from(content).toString('latin1'));
        expect([JSON.stringify(result), ...kept].join('\n')).not.toMatch(/root:x|739173917391|726f6f743a78/i);
        if (result.kind === 'failed') expect(['CompileError', 'ForbiddenFile']).toContain(result.error.name);
      }
    });
  });

  it('starts no program and writes nowhere else', async () => {
    const workspaceDir = tempFolder('workspace');
    const source = article('\\immediate\\write18{touch ../pwned}\\newwrite\\f\\immediate\\openout\\f=../pwned.txt x');
    const ran = await compile(source, {}, { workspaceDir });
    expect(errorOf(ran).name).toBe('CompileError');
    expect(readdirSync(workspaceDir)).toEqual([]);
  });

  it('knows nothing of the environment of the daemon', async () => {
    process.env.LATEX_TEST_SECRET = 'visible';
    const ran = await compile(article('\\input{$LATEX_TEST_SECRET}'));
    delete process.env.LATEX_TEST_SECRET;
    expect(JSON.stringify(ran.result)).not.toContain('visible');
  });

  it('kills a macro without end, at its own time, as a fault of the document', async () => {
    const from = performance.now();
    const ran = await compile(article('\\def\\x{\\x}\\x'), { timeout_seconds: 1 });
    expect(performance.now() - from).toBeLessThan(5_000);
    expect(errorOf(ran)).toMatchObject({ name: 'CompileError', class: 'fatal' });
    expect(detailsOf(ran)).toMatchObject({ reason: 'timeout', log: null, line: null });
    expect(runningEngines(ran.workspaceDir)).toEqual([]);
  });

  it('ends with the attempt', async () => {
    const from = performance.now();
    const ran = await compile(article('\\def\\x{\\x}\\x'), {}, { timeoutMs: 700 });
    expect(ran.result.kind).toBe('timeout');
    expect(performance.now() - from).toBeLessThan(5_000);
    expect(runningEngines(ran.workspaceDir)).toEqual([]);
  });

  it('kills what takes too much memory, and bounds what TeX itself bounds', async () => {
    const eat = '\\expandafter\\xdef\\csname a\\the\\n\\endcsname{\\the\\n\\the\\n\\the\\n\\the\\n\\the\\n}';
    const some = `\\newcount\\n\\def\\eat{\\advance\\n1 ${eat}\\ifnum\\n<100000 \\expandafter\\eat\\fi}\\eat\\def\\x{\\x}\\x`;
    const limits = { memoryBytes: 41_943_040 };
    const limited = await compile(article(some), { timeout_seconds: 20 }, { limits });
    expect(detailsOf(limited)).toMatchObject({ reason: 'memory', log: null });
    expect(runningEngines(limited.workspaceDir)).toEqual([]);
    const all = `\\newcount\\n\\def\\eat{\\advance\\n1 ${eat}\\eat}\\eat`;
    expect(detailsOf(await compile(article(all), { timeout_seconds: 20 })).message).toMatch(/capacity exceeded/i);
  });

  it('kills what writes without end', async () => {
    const writer =
      '\\newwrite\\f\\immediate\\openout\\f=big.txt \\def\\x{\\immediate\\write\\f{aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}\\x}\\x';
    const ran = await compile(article(writer), { max_bytes: 1_000_000 });
    expect(detailsOf(ran).reason).toBe('output');
    const talker = await compile(
      article('\\def\\x{\\typeout{aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}\\x}\\x'),
      { max_bytes: 1_000_000 },
    );
    expect(detailsOf(talker).reason).toBe('output');
  });

  it('prints every text that is escaped', async () => {
    const text = '\\ { } $ & # % _ ^ ~ < > | " − × ÷ ≤ π ° ² ½ € … “x” ‘y’ ?` ß ŕ ů Ÿ Ž ı 中 😀 [x] -- \u00ad';
    const letters = Array.from({ length: 0x180 - 0xa0 }, (_, i) => String.fromCodePoint(0xa0 + i)).join(' ');
    const source = article(
      `${escapeLatex(text)}\n\n${escapeLatex(letters)}`,
      '\\usepackage[T1]{fontenc}\\usepackage{lmodern,textcomp}',
    );
    expect(outputOf<Compiled>(await compile(source)).pages).toBe(1);
    expect(escapeLatex('中')).toBe('[U+4E2D]');
  });
});

describe('latex.compile without pdflatex', () => {
  it('says what to install where there is no pdflatex', async () => {
    const empty = tempFolder('no-programs');
    mkdirSync(join(empty, 'bin'));
    symlinkSync('/bin/sh', join(empty, 'bin/sh'));
    const ran = await compile(article('x'), {}, { programEnv: { PATH: join(empty, 'bin') } });
    expect(errorOf(ran)).toMatchObject({ name: 'ProgramMissing', class: 'fatal' });
    expect(errorOf(ran).message).toContain('apt-get install texlive-latex-base lmodern');
  });

  it('refuses what is no source', async () => {
    expect(errorOf(await compile('')).message).toContain('source');
    expect(errorOf(await compile('a\0b')).message).toContain('NUL');
  });
});

/** Processes that work in the folder. */
function runningEngines(folder: string): string[] {
  const { stdout } = spawnSync('sh', ['-c', 'for p in /proc/[0-9]*; do readlink "$p/cwd" 2>/dev/null; done'], {
    encoding: 'utf8',
  });
  return stdout.split('\n').filter((cwd) => cwd.startsWith(folder));
}
