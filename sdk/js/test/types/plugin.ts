// What an editor knows of a plugin; `tsc` is the test.

import { action, Failure, type Infer, plugin, role, suspend, t } from '@windlass/sdk';
import { MockHost, reply, TestStep } from '@windlass/sdk/testing';

const Job = t.open({ id: t.string(), state: t.enum('queued', 'done'), seconds: t.integer().optional() });
const job: Infer<typeof Job> = { id: 'a', state: 'done' };
// @ts-expect-error there is no such state
job.state = 'gone';

export default plugin({
  name: 'jobs',
  version: '1.0.0',
  description: 'Jobs.',
  actions: [
    action({
      name: 'submit',
      description: 'Submits.',
      effect: 'write',
      input: t.object({ title: t.string(), priority: t.enum('low', 'high').default('low'), note: t.string().optional() }),
      output: t.object({ id: t.string() }),
      connections: { jobs: role('The service.', ['POST /jobs']) },
      async start(ctx, input) {
        const priority: 'low' | 'high' = input.priority;
        // @ts-expect-error it may be left out
        const note: string = input.note;
        const found = await ctx.connection('jobs').json('/jobs', Job, { method: 'POST', json: { priority, note } });
        if (found.state === 'done') return { id: found.id };
        if (found.seconds === undefined) throw Failure.rejected('no', 'no').never();
        return suspend({ state: { id: found.id }, after: '2s', status: 'waits' });
      },
      resume(ctx, input, state, event) {
        if (event.kind === 'callback') event.json(Job).id.toUpperCase();
        return { id: state.id };
      },
      rollback: (ctx, input, output) => output?.id,
      async find(ctx) {
        try {
          await ctx.connection('jobs').fetch('/jobs');
        } catch (error) {
          const unknown: boolean = error instanceof Failure && error.effectUnknown;
          if (unknown) throw error;
        }
        return undefined;
      },
    }),
  ],
});

const step = new TestStep(null as never, 'submit', { title: 'x' });
const host = new MockHost({ connections: { jobs: 'https://jobs.test' } }).reply('POST /jobs', reply.json(201, {}));
step.run(host).then((output) => output.id);
