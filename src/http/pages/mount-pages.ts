// The pages for people: status, runs, one run, schedules, the way in, and their style sheet.
import type { Context } from 'hono';
import { findWhereItGoesOn } from '../../control/retry-line.ts';
import type { Queryable } from '../../db/database.ts';
import { CronwrightError } from '../../domain/errors.ts';
import { isTerminal } from '../../domain/run.ts';
import { findPauseOver } from '../../queue/pauses.ts';
import { getRun, type RunDetail } from '../../reads/get-run.ts';
import { listRuns, readStates } from '../../reads/list-runs.ts';
import { schedulesByUrgency } from '../../reads/list-schedules.ts';
import { runArtifacts } from '../../reads/run-artifacts.ts';
import { runConversations } from '../../reads/run-conversations.ts';
import { runEvents } from '../../reads/run-events.ts';
import { runLogs } from '../../reads/run-logs.ts';
import { runSteps } from '../../reads/run-steps.ts';
import type { HttpAppOptions, HttpEnv, HttpHandler, Mount } from '../create-http-app.ts';
import type { HttpContext } from '../http-context.ts';
import { toProblem } from '../problem.ts';
import { readForm } from '../read-body.ts';
import { redirectTo, textResponse } from '../response.ts';
import { mountApiPage } from './api-page.ts';
import { assets } from './assets.ts';
import { pageResponse } from './layout.ts';
import { localPath, loginPage } from './login-page.ts';
import { messagePage } from './message-page.ts';
import { type CommandCase, commandFor } from './run-command.ts';
import { type RunPageData, runPage } from './run-page.ts';
import { runsPage } from './runs-page.ts';
import { schedulesPage } from './schedules-page.ts';
import { createStatusReader } from './status-data.ts';
import { statusPage } from './status-page.ts';
import type { Html } from './words.ts';

type C = Context<HttpEnv>;

interface PageContent {
  title: string;
  content: Html;
}

/** Pages are for whoever keeps the daemon running: they show all tenants. */
const everyTenant = null;
const mostSchedules = 500;
const logLines = 200;

export function mountPages(mount: Mount, options: HttpAppOptions): void {
  const { context } = options;
  const readStatus = createStatusReader(context.db, context.clock);
  const page = (path: string, refreshSeconds: number, make: (c: C, now: Date) => Promise<PageContent>) =>
    mount('GET', path, pageHandler(context, refreshSeconds, make));

  page('/', 3, async () => ({ title: 'Status', content: statusPage(await readStatus()) }));
  page('/runs', 5, (c, now) => showRuns(context, c, now));
  page('/runs/{id}', 3, async (c, now) => {
    const data = await readRun(context, c.req.param('id') ?? '', now);
    return { title: data.run.pipeline, content: runPage(data) };
  });
  page('/schedules', 10, async (_, now) => {
    const schedules = await schedulesByUrgency(context.db, everyTenant, mostSchedules);
    return { title: 'Schedules', content: schedulesPage(schedules, mostSchedules, now) };
  });
  mount('GET', '/assets/cronwright.css', () =>
    textResponse(assets.style, 'text/css; charset=utf-8', 200, { 'cache-control': 'public, max-age=31536000' }),
  );
  mountApiPage(mount, context.node.version);
  mountLogin(mount, options);
}

/** People get their errors as pages, too. */
function pageHandler(
  context: HttpContext,
  refreshSeconds: number,
  make: (c: C, now: Date) => Promise<PageContent>,
): HttpHandler {
  return async (c) => {
    const now = new Date(context.clock.now());
    const fragment = c.req.header('cronwright-fragment') !== undefined;
    try {
      return await pageResponse({ ...(await make(c, now)), refreshSeconds, fragment, now });
    } catch (error) {
      if (!(error instanceof CronwrightError) || error.code === 'internal') throw error;
      const problem = toProblem(error, c.req.path);
      const content = messagePage(problem);
      return pageResponse({ title: problem.title, content, status: problem.status, fragment, now });
    }
  };
}

async function showRuns(context: HttpContext, c: C, now: Date): Promise<PageContent> {
  const query = new URL(c.req.url).searchParams;
  const word = (name: string) => query.get(name) || undefined;
  const page = await listRuns(context.db, {
    tenant: everyTenant,
    states: readStates(word('state')),
    pipeline: word('pipeline'),
    schedule: word('schedule'),
    cursor: word('cursor'),
    limit: 50,
  });
  return { title: 'Runs', content: runsPage(page, query, now) };
}

async function readRun({ db }: HttpContext, id: string, now: Date): Promise<RunPageData> {
  const run = await getRun(db, everyTenant, id);
  const [steps, events, log, artifacts, messages] = await Promise.all([
    runSteps(db, everyTenant, id),
    runEvents(db, everyTenant, id, { after: 0, limit: 500 }),
    runLogs(db, everyTenant, id, { limit: logLines, tail: logLines, follow: false }),
    runArtifacts(db, everyTenant, id, { limit: 50 }),
    runConversations(db, everyTenant, id, { limit: 100 }),
  ]);
  const command = commandFor({ ...run, ...(await aroundRun(db, run)) });
  return {
    ...{ run, steps, events: events.items, log: log.items, artifacts: artifacts.items, command, now },
    ...{ messages: messages.items, hasMoreMessages: messages.next_cursor !== null },
  };
}

/** What outside the run decides which commands it takes. */
async function aroundRun(db: Queryable, run: RunDetail): Promise<Pick<CommandCase, 'pausedWith' | 'goesOnIn'>> {
  const isPaused = run.state === 'paused';
  const pause = isPaused ? await findPauseOver(db, run.tenant, run.pipeline) : undefined;
  const pausedWith = pause && (pause.pipeline === null ? 'tenant' : 'pipeline');
  const goesOnIn = isTerminal(run.state) && run.state !== 'completed' ? await findWhereItGoesOn(db, run.id) : undefined;
  return { pausedWith, goesOnIn };
}

function mountLogin(mount: Mount, { context, access }: HttpAppOptions): void {
  const { cookie } = access;
  if (cookie === undefined) return;
  const show = (next: string, wrong: boolean) => {
    const now = new Date(context.clock.now());
    return pageResponse({
      title: 'Go in',
      content: loginPage(next, wrong),
      bare: true,
      status: wrong ? 401 : 200,
      now,
    });
  };
  mount('GET', '/login', (c) => show(localPath(new URL(c.req.url).searchParams.get('next')), false));
  mount('POST', '/login', async (c) => {
    const form = await readForm(c.env.incoming, 10_000);
    const next = localPath(form.get('next'));
    if (!access.isToken(form.get('token') ?? '')) return show(next, true);
    return redirectTo(next, { 'set-cookie': cookie });
  });
}
