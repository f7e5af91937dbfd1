// Checks that defaults and given inputs are of the type and among the values that the input declares.
import { isOfInputType } from '../domain/input-type.ts';
import type { InputDefinition } from '../domain/pipeline.ts';
import type { Finding, PipelineCheck } from './pipeline-check.ts';
import { shownValue } from './zod-problems.ts';

export function checkInputs(check: PipelineCheck): void {
  for (const [name, definition] of Object.entries(check.pipeline.inputs)) {
    const path = ['inputs', name];
    if (!check.isWhole(path)) continue;
    for (const [index, choice] of (definition.enum ?? []).entries()) {
      for (const finding of typeProblems(choice, definition)) check.problem([...path, 'enum', index], finding);
    }
    if (definition.default === undefined) continue;
    for (const finding of valueProblems(definition.default, definition)) check.problem([...path, 'default'], finding);
  }
}

/** What is wrong with a value for an input; nothing for null where the input is not required. */
export function valueProblems(value: unknown, definition: InputDefinition): Finding[] {
  if (value === null && !definition.required) return [];
  const wrongType = typeProblems(value, definition);
  if (wrongType.length > 0) return wrongType;
  if (!definition.enum || definition.enum.some((choice) => JSON.stringify(choice) === JSON.stringify(value))) return [];
  const expected = `one of: ${definition.enum.map((choice) => JSON.stringify(choice)).join(', ')}`;
  return [{ message: 'the value is not one of those allowed', got: shownValue(value), expected }];
}

function typeProblems(value: unknown, { type }: InputDefinition): Finding[] {
  if (typeof value === 'string' && value.includes('${{')) {
    return [{ message: 'expressions are not evaluated here', got: shownValue(value), expected: 'a plain value' }];
  }
  return isOfInputType(value, type)
    ? []
    : [{ message: 'the value has the wrong type', got: shownValue(value), expected: type }];
}
