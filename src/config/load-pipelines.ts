// Reads and checks every pipeline file: all that is wrong is reported at once, with file, line and column.
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Problem } from '../domain/errors.ts';
import type { Pipeline, StepDefinition } from '../domain/pipeline.ts';
import type { StepCatalogue } from '../domain/step-catalogue.ts';
import { buildPipeline, type Calendars, versionOf } from './build-pipeline.ts';
import { checkAcross } from './check-children.ts';
import { checkExpressions } from './check-expressions.ts';
import { checkInputs } from './check-inputs.ts';
import { checkSchedules } from './check-schedules.ts';
import { checkSensors } from './check-sensors.ts';
import { checkSteps } from './check-steps.ts';
import { pipelineJsonSchema } from './json-schema.ts';
import { loadTemplates, type Template } from './load-templates.ts';
import { type PipelineCheck, type PlacedStep, placeFinding } from './pipeline-check.ts';
import { pipelineSchema } from './pipeline-schema.ts';
import { salvagePipeline } from './salvage-pipeline.ts';
import { sampleOf, told, type UnfoldedDocument, unfoldDocument } from './use-template.ts';
import { type KeyPath, readYaml, type YamlDocument, type YamlSource } from './yaml-source.ts';
import { zodProblems } from './zod-problems.ts';

export interface LoadedPipelines {
  /** Only those without a problem, in the order of file names and documents. */
  pipelines: Pipeline[];
  problems: Problem[];
  warnings: Problem[];
  /** How many templates there are, with problems or without. */
  templates: number;
  /** Equal for equal content: SHA-256 over ids and versions, 16 hexadecimal digits. */
  hash: string;
}

export interface LoadPipelinesOptions {
  configDir: string;
  settings: { readonly calendars: Calendars };
  catalogue: StepCatalogue;
}

/** Reads `templates/*.yaml` and `pipelines/*.yaml` of the configuration directory. Does not throw for what is wrong in them. */
export async function loadPipelines(options: LoadPipelinesOptions): Promise<LoadedPipelines> {
  const sources: YamlSource[] = [];
  for await (const source of readSources(options.configDir, 'templates')) sources.push(source);
  const { byName, problems, warnings } = loadTemplates(sources);
  const loaded: LoadedPipelines = { pipelines: [], problems, warnings, templates: byName.size, hash: '' };
  const seen = new Map<string, YamlDocument>();
  const unused = new Map(byName);
  for await (const source of readSources(options.configDir, 'pipelines')) {
    loaded.problems.push(...source.problems);
    if (source.documents.length === 0 && source.problems.length === 0) {
      loaded.problems.push({
        file: source.file,
        line: 1,
        column: 1,
        message: 'the file is empty',
        expected: 'a pipeline',
      });
    }
    for (const document of source.documents) {
      const unfolded = unfoldDocument(document, byName);
      if (unfolded.template !== undefined) unused.delete(unfolded.template);
      loaded.problems.push(...unfolded.problems);
      for (const one of unfolded.documents) await loadDocument(one, options, seen, loaded);
    }
  }
  refuseAcross(loaded, seen);
  for (const template of unused.values()) await checkUnused(template, options, loaded);
  loaded.problems = onceEach(loaded.problems);
  loaded.warnings = onceEach(loaded.warnings);
  loaded.hash = versionOf(loaded.pipelines.map(({ tenant, id, version }) => [tenant, id, version]).sort());
  return loaded;
}

/** What can only be told once all have been read. */
function refuseAcross(loaded: LoadedPipelines, seen: ReadonlyMap<string, YamlDocument>): void {
  const placed = loaded.pipelines.flatMap((pipeline) => {
    const document = seen.get(`${pipeline.tenant}/${pipeline.id}`);
    return document ? [{ pipeline, document }] : [];
  });
  const refused = checkAcross(placed, (tenant, id) => seen.has(`${tenant}/${id}`));
  if (refused.length === 0) return;
  const wrong = new Set(refused.map(({ pipeline }) => pipeline));
  loaded.pipelines = loaded.pipelines.filter((pipeline) => !wrong.has(pipeline));
  loaded.problems.push(...refused.map(({ problem }) => problem));
}

/** Files are read some at a time: one by one waits for the disk, all at once fills the memory. */
async function* readSources(configDir: string, folder: string): AsyncGenerator<YamlSource> {
  const names = await listFiles(join(configDir, folder));
  for (let from = 0; from < names.length; from += 32) {
    const batch = names.slice(from, from + 32);
    yield* await Promise.all(batch.map((name) => readYaml(join(configDir, folder, name), `${folder}/${name}`)));
  }
}

async function listFiles(directory: string): Promise<string[]> {
  if (!existsSync(directory)) return [];
  const names = await readdir(directory);
  return names.filter((name) => /\.ya?ml$/.test(name) && !name.startsWith('.')).sort();
}

async function loadDocument(
  { document, origin }: UnfoldedDocument,
  options: LoadPipelinesOptions,
  seen: Map<string, YamlDocument>,
  loaded: LoadedPipelines,
): Promise<void> {
  const { problems, warnings, pipeline } = await checkDocument(document, options);
  if (pipeline.id !== '') {
    const key = `${pipeline.tenant}/${pipeline.id}`;
    const other = seen.get(key);
    if (other) {
      const place = other.placeOf(['id']);
      const message = `the pipeline is already defined in ${place.file}:${place.line}`;
      problems.push(placeFinding(document, ['id'], { message, got: pipeline.id, expected: 'an id of its own' }));
    }
    seen.set(key, other ?? document);
  }
  loaded.problems.push(...problems.sort(byPlace).map((problem) => withOrigin(problem, origin)));
  loaded.warnings.push(...warnings.sort(byPlace).map((warning) => withOrigin(warning, origin)));
  if (problems.length === 0) loaded.pipelines.push(pipeline);
}

/** What stands in a template says for which pipeline it is wrong: its parameters may be why. */
function withOrigin(problem: Problem, origin: UnfoldedDocument['origin']): Problem {
  if (!origin || problem.file !== origin.template.document.file) return problem;
  return { ...problem, origin: origin.text } as Problem;
}

/** What is wrong in a template is wrong for all its pipelines, and told of the first. */
function onceEach(problems: readonly (Problem & { origin?: string })[]): Problem[] {
  const groups = new Map<string, { problem: Problem; origins: string[] }>();
  for (const { origin, ...problem } of problems) {
    const key = origin === undefined ? String(groups.size) : JSON.stringify(problem);
    const group = groups.get(key) ?? { problem, origins: [] };
    groups.set(key, group);
    if (origin !== undefined) group.origins.push(origin);
  }
  return [...groups.values()].map(({ problem, origins: [first, ...others] }) => {
    if (first === undefined) return problem;
    return told(problem, others.length === 0 ? first : `${first}, and ${others.length} more`);
  });
}

/** A template that no pipeline is made of is checked with the defaults of its parameters, where all have one. */
async function checkUnused(template: Template, options: LoadPipelinesOptions, loaded: LoadedPipelines): Promise<void> {
  const { document, isBroken, name } = template;
  const message = 'no pipeline is made of this template';
  loaded.warnings.push(placeFinding(document, ['template'], { message, got: name }));
  const sample = isBroken ? undefined : sampleOf(template);
  if (!sample) return;
  const { problems, warnings } = await checkDocument(sample, options);
  loaded.problems.push(...problems.sort(byPlace));
  loaded.warnings.push(...warnings.sort(byPlace));
}

/** Checks one document. Where the schema refuses a part of it, the others are still checked. */
async function checkDocument(document: YamlDocument, options: LoadPipelinesOptions) {
  const problems: Problem[] = [];
  const warnings: Problem[] = [];
  const parsed = pipelineSchema.safeParse(document.value);
  const refused = parsed.success ? [] : zodProblems(parsed.error, document.value, pipelineJsonSchema());
  problems.push(...refused.map(({ path, isUnknownKey: _, ...finding }) => placeFinding(document, path, finding)));
  const shape = parsed.success ? parsed.data : salvagePipeline(document.value, refused);
  const pipeline = buildPipeline(shape, options.settings.calendars);
  const broken = refused.filter((one) => !one.isUnknownKey);
  const isWhole = (path: KeyPath) => !broken.some((one) => startsWith(one.path, path) || startsWith(path, one.path));
  const check: PipelineCheck = {
    pipeline,
    steps: placeSteps(pipeline, isWhole),
    document,
    catalogue: options.catalogue,
    isWhole,
    problem: (path, finding) => problems.push(placeFinding(document, path, finding)),
    warning: (path, finding) => warnings.push(placeFinding(document, path, finding)),
  };
  checkInputs(check);
  checkSchedules(check, options.settings.calendars);
  checkSteps(check);
  await checkSensors(check);
  await checkExpressions(check);
  return { problems, warnings, pipeline };
}

function placeSteps(pipeline: Pipeline, isWhole: (path: KeyPath) => boolean): PlacedStep[] {
  const place = (steps: readonly StepDefinition[], list: string) =>
    steps.map((step, index) => ({ step, path: [list, index], isWhole: isWhole([list, index]) }));
  return [
    ...place(pipeline.steps, 'steps'),
    ...place(pipeline.onFailure, 'on_failure'),
    ...place(pipeline.finally, 'finally'),
  ];
}

function startsWith(path: KeyPath, prefix: KeyPath): boolean {
  return prefix.length <= path.length && prefix.every((key, index) => key === path[index]);
}

function byPlace(a: Problem, b: Problem): number {
  return (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0);
}
