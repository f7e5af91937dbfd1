// Whether a value is of the type that an input declares: the same when a file is loaded and when a run is started.
import type { InputDefinition } from './pipeline.ts';

export function isOfInputType(value: unknown, type: InputDefinition['type']): boolean {
  switch (type) {
    case 'integer':
      return Number.isSafeInteger(value);
    case 'number':
      return typeof value === 'number' && Number.isFinite(value);
    case 'array':
      return Array.isArray(value);
    case 'object':
      return typeof value === 'object' && value !== null && !Array.isArray(value);
    default:
      return typeof value === type;
  }
}
