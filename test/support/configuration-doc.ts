// Writes docs/CONFIGURATION.md from the schemas and the defaults, so that the page cannot say anything else than the code does.
import { type Default, fileLimits, pipelineDefaults, settingDefaults } from '../../src/config/defaults.ts';
import { pipelineJsonSchema, settingsJsonSchema } from '../../src/config/json-schema.ts';
import { llmDefaultVariable } from '../../src/config/llm-settings.ts';
import { settingOverrides } from '../../src/config/load-settings.ts';
import { tracingVariables } from '../../src/config/tracing-settings.ts';

interface Property {
  description?: string;
  type?: string;
  enum?: readonly unknown[];
  properties?: Record<string, Property>;
  items?: Property;
  additionalProperties?: Property | boolean;
  anyOf?: readonly Property[];
}

type Defaults = Readonly<Record<string, Default<unknown>>>;

/** The whole page. */
export function renderConfigurationDoc(): string {
  return `# Configuration

Generated from the schemas and defaults in \`src/config\`; a test fails where this page is not current.

A configuration directory (\`--config\`, \`CRONWRIGHT_CONFIG\`, default \`./config\`) holds \`cronwright.yaml\` (optional) and
\`pipelines/*.yaml\` (one pipeline a document), some of them made of \`templates/*.yaml\` ([TEMPLATES.md](TEMPLATES.md)).
\`cronwright check\` reads all of it as the daemon would and names every mistake with file, line and column. \`cronwright
schema\` prints JSON Schemas for editors.

Durations are text with units: \`500ms\`, \`30s\`, \`5m\`, \`1h 30m\`, \`7d\`, \`2w\`. A number without a unit is refused.

## Flags and environment

A flag beats the environment, which beats \`cronwright.yaml\`, which beats the default. \`GET /api/v1/config\` and
\`cronwright doctor\` say where each value comes from.

| setting | flag | environment |
|---|---|---|
${overrideRows()}

Where \`cronwright.yaml\` names no \`tracing.endpoint\`, the standard variables of OpenTelemetry count:

| environment | what it is |
|---|---|
${tracingRows()}

The token stands in no file. A secret \`NAME\` that \`secrets\` does not list is looked up as \`CRONWRIGHT_SECRET_NAME\`.

## cronwright.yaml

| key | value | default | what it is | why this default |
|---|---|---|---|---|
${rows(settingsJsonSchema() as Property, settingDefaults)}

## pipelines/*.yaml

Ids of steps and inputs match \`[a-z][a-z0-9_]*\`; other ids may also hold \`-\`. Keys of \`finally\` and \`on_failure\` are those of
\`steps\`, without \`needs\`.

| key | value | default | what it is | why this default |
|---|---|---|---|---|
${rows(pipelineJsonSchema() as Property, pipelineDefaults)}

## Limits of files

| limit | value | why |
|---|---|---|
${Object.entries(fileLimits)
  .map(([name, { value, unit, reason }]) => `| ${name} | ${value} ${unit} | ${reason} |`)
  .join('\n')}
`;
}

/** Key paths of every value a schema allows; lists and maps are shown as one. */
export function listKeys(schema: Property, prefix = ''): [string, Property][] {
  return Object.entries(schema.properties ?? {}).flatMap(([key, property]): [string, Property][] => {
    const path = prefix + key;
    const inner = property.properties ? property : innerOf(property);
    if (!inner || isLikeSteps(schema, key)) return [[path, property]];
    return [[path, property], ...listKeys(inner, `${path}.`)];
  });
}

/** Their keys would be those of `steps` once more. */
function isLikeSteps({ properties }: Property, key: string): boolean {
  return properties?.steps !== undefined && ['finally', 'on_failure'].includes(key);
}

function innerOf(property: Property): Property | undefined {
  if (property.items?.properties) return property.items;
  const values = property.additionalProperties;
  if (typeof values === 'object' && values.properties) return { properties: { NAME: values } };
  return property.anyOf?.find((branch) => branch.properties);
}

function rows(schema: Property, defaults: Defaults): string {
  return listKeys(schema)
    .map(([path, property]) => {
      const usual = defaults[path];
      const value = usual ? usual.unit : kindOf(property);
      const cells = [
        `\`${path}\``,
        value,
        usual ? `\`${String(usual.value)}\`` : '',
        property.description ?? '',
        usual?.reason ?? '',
      ];
      return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
    })
    .join('\n');
}

function kindOf(property: Property): string {
  if (property.enum) return property.enum.join(' | ');
  if (property.anyOf) return [...new Set(property.anyOf.map(kindOf))].join(', or ');
  const words: Record<string, string> = {
    string: 'text',
    integer: 'whole number',
    boolean: 'true | false',
    array: 'list',
    object: 'keys and values',
  };
  return words[property.type ?? ''] ?? property.type ?? 'any value';
}

function tracingRows(): string {
  return Object.entries(tracingVariables)
    .map(([variable, what]) => `| \`${variable}\` | ${what} |`)
    .join('\n');
}

function overrideRows(): string {
  return [
    ['configuration directory', '--config', 'CRONWRIGHT_CONFIG'],
    ...settingOverrides.map(({ key, flagName, variable }) => [`\`${key}\``, flagName, variable]),
    ['`llm.default`', '', llmDefaultVariable],
    ['token of the API', '--token', 'CRONWRIGHT_TOKEN'],
  ]
    .map(([setting, flag, variable]) => `| ${setting} | ${flag ? `\`${flag}\`` : ''} | \`${variable}\` |`)
    .join('\n');
}
