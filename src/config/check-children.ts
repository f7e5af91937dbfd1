// Checks what a pipeline says of runs of its own making and of other pipelines: keys that mean nothing, circles, unknown names.

import { pipelineRunType } from '../domain/child-run.ts';
import { closestWord } from '../domain/closest-word.ts';
import type { Problem } from '../domain/errors.ts';
import { templateReferences } from '../domain/expressions/step-references.ts';
import type { Pipeline } from '../domain/pipeline.ts';
import { type PipelineCheck, type PlacedStep, placeFinding } from './pipeline-check.ts';
import type { KeyPath, YamlDocument } from './yaml-source.ts';
import { valueAt } from './zod-problems.ts';

/** What has no meaning for a step that another run carries out whole. */
const notForPipelineRun = ['distribute', 'chunk', 'retry', 'timeout', 'cache', 'limits'];

export function checkChildren(check: PipelineCheck, { step, path }: PlacedStep): void {
  const isWritten = (key: string) => valueAt(check.document.value, [...path, key]) !== undefined;
  const refuse = (key: string, message: string) => check.problem([...path, key], { atKey: true, message, got: key });
  if (step.uses === pipelineRunType) {
    for (const key of notForPipelineRun) {
      if (isWritten(key)) refuse(key, `this means nothing for ${pipelineRunType}: the other pipeline says it`);
    }
    checkPipelineRun(check, { step, path });
    return;
  }
  if (isWritten('distribute') && !step.foreach) refuse('distribute', 'this means nothing without `foreach`');
  if (isWritten('chunk') && !step.distribute) refuse('chunk', 'this means nothing without `distribute: true`');
  const type = check.catalogue.get(step.uses);
  if ((step.distribute || step.queue !== undefined) && type && type.workspace !== 'none') {
    check.warning([...path, step.distribute ? 'distribute' : 'queue'], {
      atKey: true,
      message: `${step.uses} works with the files of its run, and a run of its own begins without any`,
      got: step.uses,
    });
  }
}

function checkPipelineRun(check: PipelineCheck, { step, path }: Pick<PlacedStep, 'step' | 'path'>): void {
  if (step.with.pipeline === check.pipeline.id) {
    const message = 'the pipeline would run itself';
    check.problem([...path, 'with', 'pipeline'], { message, got: check.pipeline.id, expected: 'another pipeline' });
  }
  if (templateReferences(step.with).some(([root]) => root === 'secrets')) {
    const expected = 'the secret named in the pipeline that needs it';
    check.problem([...path, 'with'], { atKey: true, message: 'inputs of runs are stored: no secrets here', expected });
  }
}

/** A pipeline that was read without a problem, and where. */
export interface PlacedPipeline {
  pipeline: Pipeline;
  document: YamlDocument;
}

/** What pipelines say of each other. `isKnown` also knows those that have problems of their own. */
export function checkAcross(
  placed: readonly PlacedPipeline[],
  isKnown: (tenant: string, id: string) => boolean,
): { pipeline: Pipeline; problem: Problem }[] {
  const found: { pipeline: Pipeline; problem: Problem }[] = [];
  for (const one of placed) {
    for (const { id, path } of namedPipelines(one)) {
      const { tenant } = one.pipeline;
      if (isKnown(tenant, id)) continue;
      const ids = placed.filter(({ pipeline }) => pipeline.tenant === tenant).map(({ pipeline }) => pipeline.id);
      const meant = closestWord(id, ids);
      const message = meant === undefined ? 'unknown pipeline' : `unknown pipeline; did you mean "${meant}"?`;
      const expected = `a pipeline of tenant ${tenant}`;
      found.push({ pipeline: one.pipeline, problem: placeFinding(one.document, path, { message, got: id, expected }) });
    }
  }
  return [...found, ...findCircles(placed)];
}

function namedPipelines({ pipeline, document }: PlacedPipeline): { id: string; path: KeyPath }[] {
  const after = (pipeline.after ?? []).map((one, index) => ({ id: one.pipeline, path: pathOfAfter(document, index) }));
  const lists = { steps: pipeline.steps, on_failure: pipeline.onFailure, finally: pipeline.finally };
  const runs = Object.entries(lists).flatMap(([list, steps]) =>
    steps.flatMap((step, index) => {
      const id = step.with.pipeline;
      const isPlain = step.uses === pipelineRunType && typeof id === 'string' && !id.includes('${{');
      return isPlain ? [{ id, path: [list, index, 'with', 'pipeline'] }] : [];
    }),
  );
  return [...after, ...runs];
}

function pathOfAfter(document: YamlDocument, index: number): KeyPath {
  return Array.isArray(valueAt(document.value, ['after'])) ? ['after', index, 'pipeline'] : ['after', 'pipeline'];
}

/** Pipelines that wait for each other: none of them would ever start. Told once, at the first of them. */
function findCircles(placed: readonly PlacedPipeline[]): { pipeline: Pipeline; problem: Problem }[] {
  const byId = new Map(placed.map((one) => [`${one.pipeline.tenant}/${one.pipeline.id}`, one]));
  const done = new Set<string>();
  const found: { pipeline: Pipeline; problem: Problem }[] = [];
  const visit = (one: PlacedPipeline, trail: readonly PlacedPipeline[]): void => {
    const from = trail.indexOf(one);
    if (from >= 0) {
      const circle = [...trail.slice(from), one].map(({ pipeline }) => pipeline.id).join(' → ');
      const message = `pipelines wait for each other in a circle: ${circle}`;
      const problem = placeFinding(one.document, ['after'], {
        atKey: true,
        message,
        expected: 'pipelines that can be put in an order',
      });
      found.push({ pipeline: one.pipeline, problem });
      return;
    }
    const key = `${one.pipeline.tenant}/${one.pipeline.id}`;
    if (done.has(key)) return;
    for (const after of one.pipeline.after ?? []) {
      const next = byId.get(`${one.pipeline.tenant}/${after.pipeline}`);
      if (next) visit(next, [...trail, one]);
    }
    done.add(key);
  };
  for (const one of placed) visit(one, []);
  return found;
}
