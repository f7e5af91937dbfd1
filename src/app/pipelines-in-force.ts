// The pipelines in force on this node: replaced whole at each apply, read by everyone.
import { queuesOf } from '../domain/child-run.ts';
import type { RunTerms } from '../domain/new-run.ts';
import type { Pipeline } from '../domain/pipeline.ts';
import type { PipelineCatalog } from '../domain/pipeline-catalog.ts';
import { routeOf } from '../domain/route.ts';
import type { Registry } from '../steps/registry.ts';
import { weightOfPipeline } from '../worker/compiled-pipeline.ts';

export interface PipelinesInForce extends PipelineCatalog {
  replace(pipelines: readonly Pipeline[], hash: string): void;
  /** Routes of the pipelines' runs, and that of the queue `default`. */
  routes(): readonly string[];
}

export function createPipelinesInForce(registry: Registry, shared: Omit<RunTerms, 'weight'>): PipelinesInForce {
  let byKey = new Map<string, Pipeline>();
  let sorted: readonly Pipeline[] = [];
  let routes: readonly string[] = ['default'];
  let hash = '';
  const terms = new WeakMap<Pipeline, RunTerms>();

  function termsOf(pipeline: Pipeline): RunTerms {
    const known = terms.get(pipeline);
    if (known) return known;
    const made = { ...shared, weight: weightOfPipeline(pipeline, registry) };
    terms.set(pipeline, made);
    return made;
  }

  return {
    get hash() {
      return hash;
    },
    get: (tenant, id) => byKey.get(`${tenant}/${id}`),
    list: (tenant) => (tenant === undefined ? sorted : sorted.filter((one) => one.tenant === tenant)),
    termsOf,
    undoes: (step) => step.compensate !== false && registry.get(step.uses)?.compensates === true,
    routes: () => routes,
    replace(pipelines, newHash) {
      byKey = new Map(pipelines.map((one) => [`${one.tenant}/${one.id}`, one]));
      sorted = [...pipelines].sort((one, other) => (one.id < other.id ? -1 : 1));
      routes = [...new Set(['default', ...pipelines.flatMap(routesOf)])];
      hash = newHash;
    },
  };
}

function routesOf(pipeline: Pipeline): string[] {
  return queuesOf(pipeline).map((queue) => routeOf(queue, pipeline.runsOn));
}
