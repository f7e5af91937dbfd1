// The pipelines that are in force now, as everyone on this node sees them.
import type { RunTerms } from './new-run.ts';
import type { Pipeline } from './pipeline.ts';

export interface PipelineCatalog {
  get(tenant: string, id: string): Pipeline | undefined;
  /** All pipelines, or those of one tenant, by id. */
  list(tenant?: string): readonly Pipeline[];
  /** What a new run of it is enqueued with. */
  termsOf(pipeline: Pipeline): RunTerms;
  /** Whether what a step of it did can be undone. */
  undoes(step: Pipeline['steps'][number]): boolean;
  /** Hash of the applied configuration. */
  readonly hash: string;
}
