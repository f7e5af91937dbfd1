// Reads a source tree and says where it breaks the rules of the house: floors, plugins, single importers, time, environment, names.
import { existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { cruise, type ICruiseResult, type IDependency, type IModule } from 'dependency-cruiser';
import ts from 'typescript';

/** Folders under src/ and the floor they are on (DESIGN §3). */
const floors: Readonly<Record<string, number>> = {
  base: 0,
  observe: 0,
  domain: 1,
  db: 2,
  config: 2,
  queue: 3,
  steps: 3,
  store: 3,
  schedule: 4,
  worker: 4,
  maintenance: 4,
  control: 4,
  reads: 4,
  http: 5,
  foresight: 5,
  app: 6,
  cli: 7,
};
const topFloor = 8;

/** The one file that knows the built-in plugins. */
const pluginImporter = 'src/steps/built-in-plugins.ts';

/** Packages that one file only may import; null: any one file. */
const singleImporters: Readonly<Record<string, string | null>> = {
  'prom-client': 'src/observe/metrics.ts',
  croner: null,
};

const entryFile = 'src/main.ts';
const vagueWords = /^(utils?|helpers?|managers?|common|libs?|misc|types)$/;

export interface FloorReport {
  /** How many source files were seen. */
  modules: number;
  /** `file: what is wrong`, sorted. */
  violations: string[];
}

/** Checks src/ and plugins/ under `root`. Throws where it saw no module: a check that sees nothing proves nothing. */
export async function checkFloors(root: string): Promise<FloorReport> {
  const modules = (await readModules(root)).filter(({ source }) => /^(src|plugins)\/.*\.tsx?$/.test(source));
  if (modules.length === 0) throw new Error(`saw no module under src/ or plugins/ of ${root}`);
  const violations = [
    ...modules.flatMap((module) => module.dependencies.flatMap((to) => importViolations(module.source, to))),
    ...modules.flatMap((module) => cycleViolations(module)),
    ...singleImporterViolations(modules),
    ...modules.flatMap(({ source }) => nameViolations(source)),
    ...modules.flatMap(({ source }) => textViolations(source, readFileSync(join(root, source), 'utf8'))),
  ];
  return { modules: modules.length, violations: [...new Set(violations)].sort() };
}

async function readModules(root: string): Promise<IModule[]> {
  const folders = ['src', 'plugins'].filter((folder) => existsSync(join(root, folder)));
  if (folders.length === 0) return [];
  const { output } = await cruise(
    folders,
    {
      baseDir: root,
      doNotFollow: { path: 'node_modules' },
      tsPreCompilationDeps: true,
      tsConfig: { fileName: 'tsconfig.json' },
      enhancedResolveOptions: {
        extensions: ['.ts', '.js'],
        conditionNames: ['import', 'node', 'default'],
        exportsFields: ['exports'],
      },
    },
    undefined,
    { tsConfig: { options: { paths: { 'cronwright/plugin': [join(root, 'src/steps/api.ts')] } } } },
  );
  return (output as ICruiseResult).modules;
}

function importViolations(from: string, { module: specifier, resolved, couldNotResolve }: IDependency): string[] {
  if (specifier === 'cronwright/plugin') {
    return from.startsWith('plugins/') ? [] : [`${from}: imports cronwright/plugin, which is for plugins`];
  }
  if (couldNotResolve) return [`${from}: imports ${specifier}, which is not there`];
  if (from.startsWith('plugins/')) return pluginViolations(from, resolved);
  if (resolved.startsWith('plugins/')) {
    return from === pluginImporter ? [] : [`${from}: imports ${resolved}; only ${pluginImporter} knows plugins`];
  }
  if (resolved.startsWith('src/')) return floorViolations(from, resolved);
  return isOutside(resolved) ? [] : [`${from}: imports ${resolved}, which is not part of the program`];
}

function pluginViolations(from: string, to: string): string[] {
  if (isOutside(to) || folderOf(from) === folderOf(to)) return [];
  return [`${from}: imports ${to}; a plugin imports cronwright/plugin, built-ins, packages and its own folder`];
}

function floorViolations(from: string, to: string): string[] {
  const [fromFloor, toFloor] = [floorOf(from), floorOf(to)];
  if (fromFloor === undefined) return [`${from}: its folder is on no floor`];
  if (toFloor === undefined) return [`${to}: its folder is on no floor`];
  if (folderOf(from) === folderOf(to) || toFloor < fromFloor) return [];
  const direction = toFloor === fromFloor ? 'sideways' : 'up';
  return [`${from}: imports ${direction}, floor ${fromFloor} → ${toFloor}: ${to}`];
}

function cycleViolations({ source, dependencies }: IModule): string[] {
  return dependencies
    .filter(
      ({ circular, cycle }) => circular && !cycle?.some(({ dependencyTypes }) => dependencyTypes.includes('type-only')),
    )
    .map(({ resolved }) => `${source}: is in a cycle of imports with ${resolved}`);
}

function singleImporterViolations(modules: readonly IModule[]): string[] {
  return Object.entries(singleImporters).flatMap(([name, only]) => {
    const importers = modules
      .filter(({ dependencies }) => dependencies.some(({ module }) => module === name || module.startsWith(`${name}/`)))
      .map(({ source }) => source)
      .sort();
    const allowed = only ?? importers[0];
    return importers.filter((file) => file !== allowed).map((file) => `${file}: imports ${name}, as ${allowed} does`);
  });
}

function nameViolations(source: string): string[] {
  const name = basename(source).replace(/\.tsx?$/, '');
  const violations: string[] = [];
  if (!/^[a-z0-9]+(-[a-z0-9]+)*$/.test(name)) violations.push(`${source}: is not named in kebab-case`);
  if (name.split('-').some((word) => vagueWords.test(word))) violations.push(`${source}: has a name that says nothing`);
  if (source.startsWith('src/') && source !== entryFile && floorOf(source) === undefined) {
    violations.push(`${source}: its folder is on no floor`);
  }
  return violations;
}

function textViolations(source: string, text: string): string[] {
  if (!source.startsWith('src/')) return [];
  const violations: string[] = [];
  if (!/^\/\/ \S.{15,}\.\r?\n(?!\/\/)/.test(text)) violations.push(`${source}: does not open with a one-line sentence`);
  const file = ts.createSourceFile(source, text, ts.ScriptTarget.Latest, true);
  const visit = (node: ts.Node): void => {
    const found = forbiddenExpression(node);
    if (found?.applies(source)) {
      const { line } = file.getLineAndCharacterOfPosition(node.getStart(file));
      violations.push(`${source}:${line + 1}: ${found.text}`);
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return violations;
}

const aboveBase = (source: string) => folderOf(source) !== 'src/base';
const besidesMain = (source: string) => source !== entryFile;

function forbiddenExpression(node: ts.Node): { text: string; applies: (source: string) => boolean } | undefined {
  if (ts.isPropertyAccessExpression(node) && ts.isIdentifier(node.expression)) {
    const text = `${node.expression.text}.${node.name.text}`;
    if (text === 'process.env' || text === 'process.exit') {
      return { text: `${text}: only ${entryFile} reads the environment or exits`, applies: besidesMain };
    }
    if (text === 'Date.now') return { text: 'Date.now: time is a parameter, see base/clock.ts', applies: aboveBase };
  }
  if (ts.isNewExpression(node) && isDate(node.expression) && !node.arguments?.length) {
    return { text: 'new Date(): time is a parameter, see base/clock.ts', applies: aboveBase };
  }
  if (ts.isCallExpression(node) && isDate(node.expression)) {
    return { text: 'Date(): time is a parameter, see base/clock.ts', applies: aboveBase };
  }
  return undefined;
}

function isDate(node: ts.Node): boolean {
  return ts.isIdentifier(node) && node.text === 'Date';
}

/** `src/domain` of `src/domain/cron/parse-cron.ts`, `plugins/git` of `plugins/git/index.ts`, `src` of `src/main.ts`. */
function folderOf(source: string): string {
  return source.split('/').slice(0, -1).slice(0, 2).join('/');
}

function floorOf(source: string): number | undefined {
  if (source === entryFile) return topFloor;
  return floors[folderOf(source).slice('src/'.length)];
}

/** A built-in module or a package. */
function isOutside(resolved: string): boolean {
  return resolved.includes('node_modules/') || !/\.[cm]?[jt]sx?$|^\.{0,2}\//.test(resolved);
}
