// The plugin task: what tasks become, that it comes from their words, and what is refused whoever wrote it.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { dependencyProblems, type Linked, orderOf } from '../../plugins/task/check-dependencies.ts';
import plugin from '../../plugins/task/index.ts';
import { planSubtasks } from '../../plugins/task/plan-subtasks.ts';
import { readTask } from '../../plugins/task/read-task.ts';
import { type EnrichedSubtask, type Subtask, subtask as subtaskSchema } from '../../plugins/task/subtask.ts';
import type { LlmAnswer, LlmRequest } from '../../src/steps/api.ts';
import { answerFromTemplate } from '../../src/steps/llm/answer-from-template.ts';
import { type TestStepOptions, testStep } from '../../src/steps/testing/test-step.ts';
import { errorOf, outputOf, runStep } from '../support/step-context.ts';

const invoices = {
  title: 'Invoice API',
  description: `Customers can create, edit and delete invoices. Each invoice has a number, a due date and several line items.
A line item has a quantity and a price. Managers approve invoices before they are sent.
Overdue invoices must be reported within 24 hours. Provide GET /invoices/{id}/pdf to download the document.`,
  requirements: ['Invoice numbers must be unique', 'Test coverage of at least 85 %', 'Responses within 200 ms'],
};
const recipes = {
  title: 'Recipe sharing platform',
  description: `Users register, log in and publish recipes with ingredients and photos. Users can rate and comment on recipes,
search recipes by ingredient and bookmark them. A recipe belongs to a user.`,
};
const library = {
  title: 'Library lending service',
  description: `Members borrow and return books. Librarians add books, remove them and manage members.
A book has a title, an author and an ISBN. A loan belongs to a member. The system sends reminders to members when a loan is overdue.`,
  requirements: ['A member may borrow at most 5 books'],
};

interface Decomposed {
  subtasks: Subtask[];
  counts: Record<string, number>;
  order: string[];
  coverage: number;
  provider: string;
  estimated_effort_hours: number;
}

async function decompose(input: object, more: TestStepOptions = {}) {
  return testStep<Decomposed>(plugin, { step: 'decompose', input, ...more });
}

async function subtasksOf(input: object): Promise<Map<string, Subtask>> {
  const { output, error } = await decompose(input);
  if (!output) throw new Error(JSON.stringify(error));
  return new Map(output.subtasks.map((one) => [one.id, one]));
}

const requirementsOf = (subtasks: Map<string, Subtask>, id: string) => subtasks.get(id)?.requirements.join('\n');

describe('task.decompose', () => {
  it('makes models of the things of a task, with the fields and owners that it names', async () => {
    const subtasks = await subtasksOf(invoices);
    expect(subtasks.get('model-invoice')).toMatchObject({ category: 'DATA_MODEL', dependencies: [], priority: 'high' });
    expect(subtasks.get('model-invoice')?.requirements).toEqual([
      'Model Invoice, with an identity of its own',
      'Field `number`',
      'Field `due_date`',
      'Has any number of LineItem',
      '“Invoice numbers must be unique”',
    ]);
    expect(subtasks.get('model-line-item')?.dependencies).toEqual(['model-invoice']);
    expect(requirementsOf(subtasks, 'model-line-item')).toMatch(/`quantity`\nField `price`\nBelongs to Invoice/);
  });

  it('makes services of its verbs and rules, each with the sentence that asks for it', async () => {
    const subtasks = await subtasksOf(invoices);
    const requirements = requirementsOf(subtasks, 'service-invoice');
    for (const verb of ['Create', 'Edit', 'Delete']) {
      expect(requirements).toContain(`${verb} invoices: “Customers can create, edit and delete invoices”`);
    }
    expect(requirements).toContain('Send invoices: “Managers approve invoices before they are sent”');
    expect(requirements).toContain('“Overdue invoices must be reported within 24 hours”');
    expect(requirements).toContain('For all services: “Responses within 200 ms”');
    expect(requirements).not.toContain('85 %');
    expect(subtasks.get('service-invoice')?.description).toContain('Who acts: Customer, Manager.');
  });

  it('makes routes of what the text names and of its verbs', async () => {
    const api = requirementsOf(await subtasksOf(invoices), 'api-invoice');
    expect(api?.split('\n').flatMap((line) => /^`([^`]+)`/.exec(line)?.[1] ?? [])).toEqual([
      'GET /invoices/{id}/pdf',
      'POST /invoices',
      'PATCH /invoices/{id}',
      'DELETE /invoices/{id}',
      'POST /invoices/{id}/approve',
      'POST /invoices/{id}/send',
      'POST /invoices/{id}/report',
    ]);
  });

  it('makes unit and end-to-end tests with the coverage that the task asks for', async () => {
    const subtasks = await subtasksOf(invoices);
    expect(requirementsOf(subtasks, 'tests-invoice-unit')).toContain('Coverage of at least 85 %, as the task asks');
    expect(subtasks.get('tests-invoice-unit')?.dependencies).toEqual(['service-invoice']);
    expect(subtasks.get('tests-invoice-e2e')?.dependencies).toEqual(['api-invoice']);
    expect((await decompose(invoices)).output?.coverage).toBe(85);
    expect((await decompose({ ...recipes, coverage: 70 })).output?.coverage).toBe(70);
  });

  it('gives other subtasks for another task', async () => {
    const recipe = await subtasksOf(recipes);
    expect([...recipe.keys()].filter((id) => id.startsWith('model-'))).toEqual(['model-user', 'model-recipe']);
    expect(recipe.get('service-recipe')?.title).toBe('Service: Recipe (publish, rate, comment, search, bookmark)');
    expect(recipe.get('service-user')?.title).toBe('Service: User (register, log in)');
    expect(recipe.get('model-recipe')?.dependencies).toEqual(['model-user']);
    expect(requirementsOf(recipe, 'api-recipe')).toContain('`GET /recipes`: to search recipes');

    const loans = await subtasksOf(library);
    expect([...loans.keys()].filter((id) => id.startsWith('model-'))).toEqual(
      ['book', 'member', 'loan', 'reminder'].map((name) => `model-${name}`),
    );
    expect(loans.get('service-book')?.title).toBe('Service: Book (borrow, return, add, remove)');
    expect(requirementsOf(loans, 'tests-book-unit')).toContain('“A member may borrow at most 5 books”');
    expect(requirementsOf(loans, 'model-book')).toMatch(/`title`\nField `author`\nField `isbn`/);
  });

  it('reads who acts, who owns whom and what binds, in the many ways in which people write it', async () => {
    const hotel = await subtasksOf({
      title: 'Hotel booking',
      description: `Guests search rooms by date and book rooms. A booking belongs to a guest and a room.
- A room has a number, a price per night and a capacity
- POST /bookings creates a booking; GET /rooms lists free rooms`,
      requirements: ['A room must never be booked twice for the same night'],
    });
    expect(hotel.get('service-room')?.title).toBe('Service: Room (search, book)');
    expect(hotel.get('service-room')?.description).toContain('Who acts: Guest.');
    expect(requirementsOf(hotel, 'model-room')).toMatch(/`number`\nField `price`\nField `capacity`/);
    expect(hotel.get('model-booking')?.dependencies).toEqual(['model-guest', 'model-room']);
    expect(requirementsOf(hotel, 'api-booking')).toContain('`POST /bookings`: “POST /bookings creates a booking');
    expect(requirementsOf(hotel, 'tests-room-unit')).toContain(
      '“A room must never be booked twice for the same night”',
    );

    const users = await subtasksOf({
      title: 'User management',
      description:
        'As an admin, I want to invite users and assign roles. Each user has an email, a name and one or more roles.',
      requirements: ['Emails must be unique', 'Rate limit of 100 requests per minute'],
    });
    expect(requirementsOf(users, 'model-user')).toMatch(
      /`email`\nField `name`\nHas any number of Role\n“Emails must be unique”/,
    );
    expect(users.get('model-role')?.dependencies).toEqual(['model-user']);
    expect(requirementsOf(users, 'service-role')).toContain(
      'For all services: “Rate limit of 100 requests per minute”',
    );
  });

  it('invents nothing: every name in the subtasks stands in the task', async () => {
    for (const task of [invoices, recipes, library]) {
      const text = JSON.stringify(task)
        .toLowerCase()
        .replace(/[^a-z]+/g, ' ');
      for (const { category, id, requirements } of (await subtasksOf(task)).values()) {
        if (category !== 'DATA_MODEL') continue;
        const fields = requirements.flatMap(
          (one) =>
            /^Field `(\w+)`/
              .exec(one)?.[1]
              ?.replace(/_list$/, '')
              .split('_') ?? [],
        );
        for (const word of [...id.replace('model-', '').split('-'), ...fields]) expect(text).toContain(word);
      }
    }
  });

  it('has something to say of a task of two words, in any of the four categories', async () => {
    const { output } = await decompose({ title: 'Blog', description: 'A small blog' });
    expect(output?.counts).toEqual({ DATA_MODEL: 1, SERVICE: 1, HTTP_API: 1, TESTING: 2 });
    const foreign = await decompose({ title: 'Счета', description: 'Учёт счетов и клиентов' });
    expect(foreign.output?.counts).toEqual({ DATA_MODEL: 1, SERVICE: 1, HTTP_API: 1, TESTING: 2 });
  });

  it('gives the same bytes for the same task, at no cost', async () => {
    const [one, other] = [await decompose(library), await decompose(library)];
    expect(JSON.stringify(one.output)).toBe(JSON.stringify(other.output));
    expect(one.output).toMatchObject({ provider: 'template', usd: 0 });
  });

  it('says each subtask and each checkpoint as they come', async () => {
    const { events, output, checkpoint, progress } = await decompose(recipes);
    const told = events.filter(({ type }) => type === 'subtask_generated').map(({ data }) => (data as Subtask).id);
    expect(told).toEqual(output?.subtasks.map(({ id }) => id));
    const kept = events.filter(({ type }) => type === 'checkpoint_created').map(({ data }) => data);
    expect(kept).toEqual(['DATA_MODEL', 'SERVICE', 'HTTP_API', 'TESTING'].map((what) => ({ what })));
    expect(Object.keys((checkpoint as { done: object }).done)).toHaveLength(4);
    expect(progress.at(-1)).toMatchObject({ done: 4, total: 4 });
  });

  it('goes on behind the categories that an earlier attempt had finished', async () => {
    const whole = await decompose(recipes);
    const { done } = whole.checkpoint as { done: Record<string, Subtask[]> };
    const asked: string[] = [];
    const again = await decompose(recipes, {
      checkpoint: {
        done: { DATA_MODEL: done.DATA_MODEL, SERVICE: done.SERVICE },
        provider: 'template',
        usd: 0.25,
      } as never,
      watch: (seen) => {
        if (seen.kind === 'event' && seen.type === 'checkpoint_created')
          asked.push((seen.data as { what: string }).what);
      },
    });
    expect(asked).toEqual(['HTTP_API', 'TESTING']);
    expect(again.output?.subtasks).toEqual(whole.output?.subtasks);
    expect(again.output).toMatchObject({ usd: 0.25 });
  });

  it('saves its state while a piece of work lasts, as often as it is told', async () => {
    const saved: number[] = [];
    const ran = await runStep(
      'task.decompose',
      { ...recipes, checkpoint_seconds: 1 },
      {
        onSeen: (seen) =>
          seen.kind === 'checkpoint' && saved.push(Object.keys((seen.state as { done: object }).done).length),
        llm: async (request) => {
          if (isAbout(request, 'SERVICE')) await waitFor(() => saved.length > 1);
          return answerFromTemplate(request);
        },
      },
    );
    outputOf(ran);
    // The second time nothing new was there: the services were still being asked for.
    expect(saved).toEqual([1, 1, 2, 3, 4]);
  });

  it('asks a model with a schema and a fixed text, and refuses what does not hold together', async () => {
    const one = { ...(await subtasksOf(recipes)).get('model-user') } as Subtask;
    const told = async (...subtasks: object[]) => {
      const llm = (request: LlmRequest) => answerFromTemplate({ ...request, template: JSON.stringify({ subtasks }) });
      return errorOf(await runStep('task.decompose', recipes, { llm }));
    };
    const circle = [
      { ...one, id: 'a', dependencies: ['b'] },
      { ...one, id: 'b', dependencies: ['a'] },
    ];
    expect(await told(...circle)).toMatchObject({ name: 'InvalidDependencies', class: 'transient' });
    expect((await told(...circle)).message).toContain('a → b → a');
    expect((await told({ ...one, dependencies: ['nobody'] })).message).toContain('"nobody", which is not there');
    expect((await told(one, one)).message).toContain('two subtasks have the id "model-user"');
    expect(await told({ ...one, category: 'SERVICE' })).toMatchObject({ name: 'InvalidAnswer' });
    expect(await told({ ...one, estimated_effort_hours: 'two' })).toMatchObject({ name: 'InvalidAnswer' });

    const [first, other] = [
      await runStep('task.decompose', recipes),
      await runStep('task.decompose', library, { attempt: 2 }),
    ];
    const requests = [...first.recorded.llmRequests, ...other.recorded.llmRequests];
    expect(requests).toHaveLength(8);
    expect(new Set(requests.map(({ system }) => system)).size).toBe(1);
    expect(requests[0]).toMatchObject({ schema: { name: 'subtasks' }, cache: true });
    expect(requests[0]?.system).toContain('Never invent data');
    // What was kept of an answer that was refused would be refused again.
    expect(requests[7]).toMatchObject({ cache: false });
  });

  it('makes subtasks that fit of any text, however odd', () => {
    const words =
      `customers orders can create, delete and list. a the belongs to has with must be unique GET /x/{id} POST /orders/lines
      :- 1. " ' invoice line-item line item it them log in up register status ß é 合 ${'x'.repeat(300)} 90 % coverage`.split(
        /\s+/,
      );
    const text = fc
      .array(fc.constantFrom(...words, '. ', '\n- ', '\n\n'), { minLength: 1, maxLength: 60 })
      .map((all) => all.join(' '));
    fc.assert(
      fc.property(text, text, fc.array(text, { maxLength: 3 }), (title, description, requirements) => {
        const task = { title: title.slice(0, 300), description, requirements };
        const { subtasks } = planSubtasks(readTask(task));
        for (const one of subtasks) subtaskSchema.parse(one);
        expect(dependencyProblems(subtasks)).toEqual([]);
        expect(new Set(subtasks.map(({ category }) => category)).size).toBe(4);
      }),
      { numRuns: 300 },
    );
  });

  it('takes a long text apart in a moment, and says what it left out', async () => {
    const description = Array.from(
      { length: 900 },
      (_, i) => `Users create thing${i}s and must delete them within ${i} days.`,
    ).join(' ');
    const { output } = await testStep<{ left_out: string[]; subtasks: Subtask[] }>(plugin, {
      step: 'decompose',
      input: { title: 'Many things', description: description.slice(0, 50_000) },
      timeoutMs: 10_000,
    });
    expect(output?.subtasks.filter(({ category }) => category === 'DATA_MODEL')).toHaveLength(30);
    expect(output?.left_out.length).toBeGreaterThan(500);
  });

  it('refuses a task without words', async () => {
    expect((await decompose({ title: ' ', description: 'x' })).error).toMatchObject({ class: 'fatal' });
    expect((await decompose({ title: 'x' })).error).toMatchObject({ class: 'fatal' });
  });
});

describe('dependencies', () => {
  it('come before what needs them', () => {
    const subtasks: Linked[] = [
      { id: 'c', dependencies: ['b', 'a'] },
      { id: 'b', dependencies: ['a'] },
      { id: 'a', dependencies: [] },
    ];
    expect(orderOf(subtasks)).toEqual(['a', 'b', 'c']);
    expect(dependencyProblems(subtasks)).toEqual([]);
  });

  it('have no circle, also where things of a text belong to each other', async () => {
    const description = 'A team belongs to a league. A league belongs to a country. A country belongs to a team.';
    const { output } = await decompose({ title: 'Leagues', description });
    expect(output?.order).toHaveLength(output?.subtasks.length ?? 0);
    expect(dependencyProblems(output?.subtasks ?? [])).toEqual([]);
  });

  it('are told where they lead round a circle of their own', () => {
    expect(dependencyProblems([{ id: 'a', dependencies: ['a'] }])).toEqual([
      'subtasks depend on each other in a circle: a → a',
    ]);
  });
});

const project = {
  tech_stack: ['TypeScript', 'NestJS', 'PostgreSQL'],
  coding_standards: ['Clean Code', 'SOLID'],
  project_rules: { ids: 'UUID v7', money: { scale: 2 } },
};

async function enrich(subtask: Subtask, more: object = project) {
  return testStep<EnrichedSubtask>(plugin, { step: 'enrich', input: { subtask, ...more } });
}

async function enrichedSubtasks(task: object): Promise<EnrichedSubtask[]> {
  const all: EnrichedSubtask[] = [];
  for (const one of (await subtasksOf(task)).values()) all.push((await enrich(one)).output as EnrichedSubtask);
  return all;
}

describe('task.enrich', () => {
  it('adds stack, standards and rules of the project, and practices of the category', async () => {
    const subtasks = await subtasksOf(invoices);
    const { output } = await enrich(subtasks.get('model-invoice') as Subtask);
    expect(output).toMatchObject({ id: 'model-invoice', ...project });
    expect(output?.best_practices).toContain(
      'Let the database refuse duplicates: a unique constraint, not a look before',
    );
    const api = await enrich(subtasks.get('api-invoice') as Subtask);
    expect(api.output?.best_practices).toContain('Describe every route in OpenAPI');
    expect(api.output?.best_practices).not.toEqual(output?.best_practices);
  });

  it('adds technologies that the subtask names, and none that nobody names', async () => {
    const one = (await subtasksOf({ title: 'Sessions', description: 'Users create sessions with JWT and Redis' })).get(
      'service-session',
    ) as Subtask;
    expect((await enrich(one)).output?.tech_stack).toEqual([...project.tech_stack, 'Redis', 'JWT']);
    expect((await enrich(one, {})).output).toMatchObject({ tech_stack: ['Redis', 'JWT'], coding_standards: [] });
  });
});

describe('task.prompts', () => {
  it('writes one prompt a category with all that its subtasks ask for', async () => {
    const subtasks = await enrichedSubtasks(invoices);
    const input = { title: invoices.title, subtasks, coverage: 85 };
    const { output, artifacts } = await testStep<{ prompts: { name: string; text: string; category: string }[] }>(
      plugin,
      {
        step: 'prompts',
        input,
      },
    );
    expect(output?.prompts.map(({ name }) => name)).toEqual(
      ['data-model', 'service', 'http-api', 'testing'].map((name) => `prompt-${name}.md`),
    );
    expect(artifacts.map(({ text }) => text)).toEqual(output?.prompts.map(({ text }) => text));
    for (const { category, text } of output?.prompts ?? []) {
      for (const one of subtasks) {
        for (const requirement of one.requirements) {
          if (one.category === category) expect(text).toContain(`- [ ] ${requirement}`);
        }
      }
      expect(text).toMatch(/^# .+: Invoice API\n/);
      expect(text).toContain('- money: `{"scale":2}`');
    }
    const [model, service, api, testing] = output?.prompts ?? [];
    expect(model?.text).toContain('## Tech stack\n\n- TypeScript\n- NestJS\n- PostgreSQL');
    expect(service?.text).toContain('- Keep rules in one place, apart from transport and storage');
    expect(api?.text).toContain('## Standards\n\n- Clean Code\n- SOLID');
    expect(testing?.text).toContain('## Coverage goals\n\n- At least 85 % of lines');
  });

  it('writes the same bytes again, and only what an earlier attempt had not written', async () => {
    const subtasks = await enrichedSubtasks(recipes);
    const input = { title: recipes.title, subtasks };
    const [one, other] = [
      await testStep(plugin, { step: 'prompts', input }),
      await testStep(plugin, { step: 'prompts', input }),
    ];
    expect(one.artifacts.map(({ sha256 }) => sha256)).toEqual(other.artifacts.map(({ sha256 }) => sha256));
    const llm = (request: LlmRequest): LlmAnswer => {
      if (isAbout(request, 'HTTP_API')) throw Object.assign(new Error('cut'), { code: 'ECONNRESET' });
      return answerFromTemplate(request);
    };
    const cut = await runStep('task.prompts', input, { llm });
    expect(errorOf(cut)).toMatchObject({ class: 'transient' });
    const { checkpoint, artifacts } = cut.recorded;
    const again = await runStep('task.prompts', input, {
      attempt: 2,
      artifacts,
      ...(checkpoint ? { checkpoint } : {}),
    });
    const asked = again.recorded.llmRequests.map(
      ({ messages }) => /category (\w+)/.exec(messages[0]?.content ?? '')?.[1],
    );
    expect(asked).toEqual(['HTTP_API', 'TESTING']);
    expect(outputOf(again)).toMatchObject({ prompts: one.artifacts.map(({ sha256 }) => ({ sha256 })) });
  });

  it('refuses subtasks that wait for each other', async () => {
    const [one] = await enrichedSubtasks(recipes);
    const input = { title: 'x', subtasks: [{ ...one, dependencies: [one?.id] }] };
    expect((await testStep(plugin, { step: 'prompts', input })).error).toMatchObject({ name: 'InvalidDependencies' });
  });
});

function isAbout({ messages }: LlmRequest, category: string): boolean {
  return messages[0]?.content.includes(`category ${category}.`) === true;
}

async function waitFor(isTrue: () => boolean): Promise<void> {
  for (const until = performance.now() + 10_000; !isTrue(); ) {
    if (performance.now() > until) throw new Error('waited in vain');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
