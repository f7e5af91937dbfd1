// Checks the sensors of a pipeline: ids, sensor types, what they are given, and the inputs of the runs they start.
import { closestWord } from '../domain/closest-word.ts';
import { plainEnv, sensorInputTypes, sensorWithTypes } from '../domain/expressions/sensor-scope.ts';
import { templateReferences } from '../domain/expressions/step-references.ts';
import { typeFromJsonSchema } from '../domain/expressions/value-type.ts';
import type { SensorDefinition } from '../domain/sensor.ts';
import { checkTexts } from './check-expressions.ts';
import { valueProblems } from './check-inputs.ts';
import { checkWith, fits } from './check-with.ts';
import type { PipelineCheck } from './pipeline-check.ts';
import type { KeyPath } from './yaml-source.ts';
import { valueAt } from './zod-problems.ts';

export async function checkSensors(check: PipelineCheck): Promise<void> {
  const written = valueAt(check.document.value, ['sensors']);
  if (!Array.isArray(written)) return;
  const byName = new Map((check.pipeline.sensors ?? []).map((sensor) => [sensor.name, sensor]));
  const seen = new Set<string>(check.pipeline.schedules.map(({ name }) => name));
  for (const [index, raw] of written.entries()) {
    const path = ['sensors', index];
    const id: unknown = valueAt(raw, ['id']);
    if (typeof id !== 'string') continue;
    if (seen.has(id)) {
      const message = 'a sensor or a schedule of the pipeline has the same id';
      check.problem([...path, 'id'], { message, got: id, expected: 'an id of its own' });
    }
    seen.add(id);
    const sensor = byName.get(id);
    if (sensor && check.isWhole(path)) await checkSensor(check, sensor, path);
  }
}

async function checkSensor(check: PipelineCheck, sensor: SensorDefinition, path: KeyPath): Promise<void> {
  const type = check.catalogue.sensor?.(sensor.uses);
  if (!type) refuseType(check, sensor, path);
  const withTypes = sensorWithTypes({ REPO: '', ...plainEnv(check.pipeline.env) });
  const given = checkTexts(check, sensor.with, [...path, 'with'], withTypes, hint);
  if (type) await checkWith(check, { step: sensor, path }, type, given);
  checkRunInputs(check, sensor, path, sensorInputTypes(type?.eventSchema));
}

function refuseType(check: PipelineCheck, { uses }: SensorDefinition, path: KeyPath): void {
  const types = (check.catalogue.sensors?.() ?? []).map(({ id }) => id);
  const meant = closestWord(uses, types);
  const message = check.catalogue.get(uses)
    ? 'this is a step type, and no sensor type'
    : meant === undefined
      ? 'unknown sensor type'
      : `unknown sensor type; did you mean "${meant}"?`;
  const expected = types.length > 0 ? `one of: ${types.join(', ')}` : 'a sensor type of a plugin';
  check.problem([...path, 'uses'], { message, got: uses, expected });
}

function hint([root]: readonly (string | number)[]): string | undefined {
  const known = ['inputs', 'steps', 'run', 'schedule', 'item', 'sensor'];
  return known.includes(String(root))
    ? 'a sensor looks before there is a run; it knows secrets, env and tenant'
    : undefined;
}

function checkRunInputs(
  check: PipelineCheck,
  sensor: SensorDefinition,
  path: KeyPath,
  types: ReturnType<typeof sensorInputTypes>,
): void {
  const root = [...path, 'inputs'];
  const definitions = check.pipeline.inputs;
  if (templateReferences(sensor.inputs).some(([name]) => name === 'secrets')) {
    const expected = 'the secret named in the step that needs it';
    check.problem(root, { atKey: true, message: 'inputs of runs are stored: no secrets here', expected });
  }
  const found = checkTexts(check, sensor.inputs, root, types, () => undefined);
  for (const [name, value] of Object.entries(sensor.inputs)) {
    const at = [...root, name];
    const definition = Object.hasOwn(definitions, name) ? definitions[name] : undefined;
    if (!definition) {
      const names = Object.keys(definitions);
      const meant = closestWord(name, names);
      const message = meant === undefined ? 'unknown input' : `unknown input; did you mean "${meant}"?`;
      const expected = names.length > 0 ? `one of: ${names.join(', ')}` : 'nothing: the pipeline has no inputs';
      check.problem(at, { atKey: true, message, got: name, expected });
      continue;
    }
    const type = found.get(JSON.stringify(at));
    const holdsExpression = [...found.keys()].some((key) => key.startsWith(JSON.stringify(at).slice(0, -1)));
    if (!holdsExpression) for (const finding of valueProblems(value, definition)) check.problem(at, finding);
    const wanted = typeFromJsonSchema(
      definition.type === 'object' ? { type: 'object', additionalProperties: true } : { type: definition.type },
    );
    if (type && !fits(type, wanted)) {
      const message = 'the expression gives the wrong type';
      check.problem(at, { message, got: type.kind, expected: definition.type });
    }
  }
  for (const [name, definition] of Object.entries(definitions)) {
    if (!definition.required || definition.default !== undefined || Object.hasOwn(sensor.inputs, name)) continue;
    const message = `the input "${name}" is required, but the sensor does not give it`;
    check.problem(path, { message, expected: `\`inputs: { ${name}: … }\` in the sensor` });
  }
}
