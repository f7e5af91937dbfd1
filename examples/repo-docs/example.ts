// The example repo-docs: three repositories are documented, by one run, by a batch and by a commit, and read as people get them.
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Api, Example, FinishedRun, ModelQuestion, PreparedExample } from '../example.ts';
import { git, makeRepository, publish, relay, type SourceRepository, shop, stats } from './repositories.ts';

interface World {
  dir: string;
  shop: SourceRepository;
  stats: SourceRepository;
  /** The sensor looks at this one. */
  relay: SourceRepository;
}

const example: Example = {
  name: 'repo-docs',
  title: 'Documentation of git repositories, as pull requests',
  needs: ['git'],
  model: answerAsModel,
  async prepare({ dir }): Promise<PreparedExample> {
    const remotes = join(dir, 'remotes');
    await mkdir(remotes);
    const world: World = {
      dir,
      shop: await makeRepository(remotes, 'shop', shop),
      stats: await makeRepository(remotes, 'stats', stats),
      relay: await makeRepository(remotes, 'relay', relay),
    };
    return {
      env: { REPO: world.relay.url },
      runs: [
        { pipeline: 'repo-docs', inputs: { remote: world.shop.url } },
        { pipeline: 'repo-docs-all', inputs: { remotes: [world.shop.url, world.stats.url] } },
      ],
      check: (finished, api) => check(finished, api, world),
    };
  },
};

export default example;

/** The page that it is given, with a sentence more. */
function answerAsModel({ prompt }: ModelQuestion): string | undefined {
  const [, page] = /^The page of the module [^\n]+:\n\n(# [\s\S]+)$/.exec(prompt) ?? [];
  return page === undefined ? undefined : `${page.trimEnd()}\n\nThis page tells what the comments of the module say.\n`;
}

async function check(finished: readonly FinishedRun[], api: Api, world: World): Promise<string[]> {
  const [first] = finished;
  const told = await milestones(api, first?.id ?? '');
  for (const wanted of [10, 30, 60, 90, 100]) expect(told.includes(wanted), `the run told ${told}, not ${wanted}`);
  await expectDocumented(world, world.shop, 'src/cart.ts', ['Collects lines and knows what they cost.', 'class Cart']);
  await expectDocumented(world, world.stats, 'stats/summary.py', ['Summarize a list that is not empty.', 'summarize']);
  const opened = await watchCommits(api, world);
  return [
    `milestones ${told.join(', ')}`,
    ...(await Promise.all([world.shop, world.stats, world.relay].map(pullRequest))),
    `a new commit of relay was documented by the run ${opened}`,
  ];
}

/** The sensor has started a run for the first commit, and starts another one for the next. */
async function watchCommits(api: Api, world: World): Promise<string> {
  await completed(api, 1);
  await expectDocumented(world, world.relay, 'queue/queue.go', ['holds messages until somebody takes them']);
  const more =
    '// Package names knows the names of queues.\npackage names\n\n// Default is the queue of those who name none.\nconst Default = "main"\n';
  await publish(world.relay, { 'names/names.go': more }, 'Name queues');
  const run = await completed(api, 2);
  await expectDocumented(world, world.relay, 'names/names.go', ['Default']);
  return run;
}

/** The newest of so many runs that the sensor started, all completed. */
async function completed(api: Api, count: number): Promise<string> {
  for (const until = performance.now() + 60_000; ; await sleep(250)) {
    const { items } = (await api.get('/runs?pipeline=repo-docs&origin=sensor')) as {
      items: { id: string; state: string }[];
    };
    const failed = items.find(({ state }) => state === 'failed');
    expect(failed === undefined, `the sensor's run ${failed?.id} failed`);
    const done = items.filter(({ state }) => state === 'completed');
    if (done.length >= count) return done[0]?.id ?? '';
    expect(performance.now() < until, `expected ${count} runs of the sensor, got ${JSON.stringify(items)}`);
  }
}

/** Clones the branch as anybody does, and reads it. */
async function expectDocumented(world: World, repository: SourceRepository, module: string, texts: readonly string[]) {
  const clone = join(world.dir, `clone-${Math.round(performance.now())}`);
  await git(world.dir, 'clone', '--quiet', '--branch', 'docs', repository.path, clone);
  const index = await readFile(join(clone, 'docs/reference/README.md'), 'utf8');
  expect(index.includes(`modules/${module}.md`), `the index of ${repository.path} does not lead to ${module}`);
  const page = await readFile(join(clone, `docs/reference/modules/${module}.md`), 'utf8');
  for (const text of texts) expect(page.includes(text), `the page of ${module} does not say: ${text}`);
}

async function pullRequest({ path }: SourceRepository): Promise<string> {
  const refs = (await git(path, 'for-each-ref', '--format=%(refname)', 'refs/cronwright/pr/')).split('\n');
  expect(refs.length === 1, `${path} has ${refs.length} pull requests, expected one`);
  const record = JSON.parse(await git(path, 'show', `${refs[0]}:pull-request.json`));
  expect(record.head_commit === (await git(path, 'rev-parse', 'docs')), 'the pull request names another commit');
  expect(record.conflicts.length === 0, `the pull request does not merge: ${record.conflicts}`);
  return `pull request ${record.number}: ${record.title} (${record.head} into ${record.base})`;
}

async function milestones(api: Api, id: string): Promise<number[]> {
  const { items } = (await api.get(`/runs/${id}/events`)) as { items: { data: { progress?: number } | null }[] };
  return [...new Set(items.flatMap(({ data }) => data?.progress ?? []))];
}

function expect(fits: boolean, complaint: string): void {
  if (!fits) throw new Error(complaint);
}
