// Checks `on_failure` of cronwright.yaml as pipelines are checked: step types, their input, expressions; with file, line and column.

import type { Problem } from '../domain/errors.ts';
import { notificationScopeTypes } from '../domain/expressions/notification-scope.ts';
import type { StepCatalogue } from '../domain/step-catalogue.ts';
import { checkTexts } from './check-expressions.ts';
import { checkUses } from './check-steps.ts';
import { checkWith } from './check-with.ts';
import { readSettingsFile } from './load-settings.ts';
import { placeFinding } from './pipeline-check.ts';
import { settingsSchema } from './settings-schema.ts';

/** Reads the file again: what the schema refuses has been said by loadSettings, and is left out here. */
export async function checkNotifications(configDir: string, catalogue: StepCatalogue): Promise<Problem[]> {
  const { value, document } = await readSettingsFile(configDir);
  const parsed = settingsSchema.shape.on_failure.safeParse(value.on_failure);
  if (!document || !parsed.success) return [];
  const problems: Problem[] = [];
  const check: Parameters<typeof checkUses>[0] = {
    catalogue,
    problem: (path, finding) => problems.push(placeFinding(document, path, finding)),
  };
  for (const [index, { uses, with: given }] of parsed.data.entries()) {
    const placed = { step: { uses, with: given }, path: ['on_failure', index] };
    checkUses(check, placed);
    const types = checkTexts(check, given, [...placed.path, 'with'], notificationScopeTypes, () => undefined);
    const type = catalogue.get(uses);
    if (type) await checkWith(check, placed, type, types);
  }
  return problems;
}
