// What every check of a pipeline is given: the pipeline, where its parts stand in the file, and where problems go.
import type { Problem } from '../domain/errors.ts';
import type { Pipeline, StepDefinition } from '../domain/pipeline.ts';
import type { StepCatalogue } from '../domain/step-catalogue.ts';
import { formatKeyPath } from './key-path.ts';
import type { KeyPath, YamlDocument } from './yaml-source.ts';

export interface Finding {
  message: string;
  got?: string;
  expected?: string;
  /** The key is wrong, not its value. */
  atKey?: boolean;
  /** Offset in the text at the path. */
  offset?: number;
}

/** What checks of a step's type and input need of it: also notifications of the settings have these. */
export type StepCheck = Pick<PipelineCheck, 'catalogue' | 'problem'>;
export interface PlacedCall {
  readonly step: Pick<StepDefinition, 'uses' | 'with'>;
  readonly path: KeyPath;
}

/** A step with its path in the document. */
export interface PlacedStep {
  readonly step: StepDefinition;
  readonly path: KeyPath;
  /** False where the schema refused the step: then only its id and its needs mean something. */
  readonly isWhole: boolean;
}

export interface PipelineCheck {
  readonly pipeline: Pipeline;
  /** All steps, of `steps`, `on_failure` and `finally`. */
  readonly steps: readonly PlacedStep[];
  readonly document: YamlDocument;
  readonly catalogue: StepCatalogue;
  /** Whether the schema accepted the part of the document at this path. */
  isWhole(path: KeyPath): boolean;
  problem(path: KeyPath, finding: Finding): void;
  warning(path: KeyPath, finding: Finding): void;
}

/** A finding with its place in the file. */
export function placeFinding(document: YamlDocument, path: KeyPath, finding: Finding): Problem {
  const { atKey, offset, ...rest } = finding;
  const place =
    offset !== undefined
      ? document.placeWithin(path, offset)
      : atKey
        ? document.placeOfKey(path)
        : document.placeOf(path);
  return { ...place, path: formatKeyPath(path), ...rest };
}
