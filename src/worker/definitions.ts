// The compiled pipelines of this node, by version: the ones in force, and older ones that runs still need.
import type { Queryable } from '../db/database.ts';
import type { PipelineCatalog } from '../domain/pipeline-catalog.ts';
import type { Registry } from '../steps/registry.ts';
import { loadPipelineVersion } from '../store/pipelines.ts';
import { type CompiledPipeline, compilePipeline } from './compiled-pipeline.ts';

export interface Definitions {
  /** Undefined where the version is stored nowhere. */
  get(tenant: string, pipeline: string, version: string): Promise<CompiledPipeline | undefined>;
}

const maxKept = 2_000;

export function createDefinitions(options: {
  db: Queryable;
  catalog: PipelineCatalog;
  registry: Registry;
}): Definitions {
  const compiled = new Map<string, CompiledPipeline>();
  return {
    async get(tenant, pipeline, version) {
      const key = `${tenant}/${pipeline}/${version}`;
      const known = compiled.get(key);
      if (known) return known;
      const current = options.catalog.get(tenant, pipeline);
      const definition =
        current?.version === version ? current : await loadPipelineVersion(options.db, tenant, pipeline, version);
      if (!definition) return undefined;
      if (compiled.size >= maxKept) compiled.clear();
      const made = compilePipeline(definition, options.registry);
      compiled.set(key, made);
      return made;
    },
  };
}
