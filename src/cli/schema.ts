// `cronwright schema`: the JSON Schema of a configuration file, with the step types that are installed here.
import { settingsJsonSchema } from '../config/json-schema.ts';
import { pipelineFileJsonSchema, templateJsonSchema } from '../config/template-json-schema.ts';
import { problemLine } from '../domain/problem-line.ts';
import type { CliContext } from './cli-context.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import { printJson, printNote } from './print.ts';

export async function schema(
  context: CliContext,
  kind: 'pipeline' | 'template' | 'settings',
  options: { config?: string },
): Promise<ExitCode> {
  if (kind === 'settings') {
    printJson(context, settingsJsonSchema());
    return exitCodes.done;
  }
  const { loadStepTypes, readSettings } = await import('./load-config.ts');
  const { registry, problems } = await loadStepTypes(await readSettings(context, options));
  for (const problem of problems) printNote(context, context.stderr.colors.yellow(problemLine(problem)));
  printJson(context, kind === 'template' ? templateJsonSchema(registry) : pipelineFileJsonSchema(registry));
  return exitCodes.done;
}
