// The compiled pipelines of this node, by version: the ones in force, and older ones that runs still need.
import type { Queryable } from '../db/database.ts';
import { errorMessage } from '../domain/errors.ts';
import type { Pipeline } from '../domain/pipeline.ts';
import type { PipelineCatalog } from '../domain/pipeline-catalog.ts';
import type { Registry } from '../steps/registry.ts';
import { loadPipelineVersion } from '../store/pipelines.ts';
import { type CompiledPipeline, compilePipeline } from './compiled-pipeline.ts';

export interface Definitions {
  /** Undefined where the version is stored nowhere. Rejects with InvalidDefinition where it cannot be made ready to run. */
  get(tenant: string, pipeline: string, version: string): Promise<CompiledPipeline | undefined>;
}

/** A version that another release of Cronwright has stored may have another shape. */
export class InvalidDefinition extends Error {
  override readonly name = 'InvalidDefinition';
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
      const made = compile(definition, options.registry);
      compiled.set(key, made);
      return made;
    },
  };
}

function compile(pipeline: Pipeline, registry: Registry): CompiledPipeline {
  try {
    return compilePipeline(pipeline, registry);
  } catch (error) {
    const which = `version ${pipeline.version} of pipeline ${pipeline.id}`;
    throw new InvalidDefinition(`${which} cannot be run by this node: ${errorMessage(error)}`, { cause: error });
  }
}
