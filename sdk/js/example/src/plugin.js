// Work at a job service: submits a job, waits until it has ended, withdraws it on a rollback.

import { action, Failure, path, plugin, requiredUrl, role, suspend, t } from '@windlass/sdk';

/** What the service answers of a job. */
const Job = t.open({
  id: t.string(),
  state: t.enum('queued', 'running', 'done', 'failed'),
  artifact: t.string().optional(),
  seconds: t.integer().optional(),
  reason: t.string().optional(),
});

const submit = action({
  name: 'submit',
  description: 'Submits a job and waits until it has ended.',
  effect: 'write',
  input: t.object({
    title: t.string({ minLength: 1 }).describe('What people call the job.'),
    priority: t.enum('low', 'normal', 'high').default('normal').describe('How soon it is worked on.'),
    notify: t.boolean().default(false).describe('Whether the service calls back when the job has ended.'),
  }),
  output: t.object({
    id: t.string().describe('The job, as the service names it.'),
    artifact: t.string().describe('Where what it made lies.'),
    seconds: t.integer({ minimum: 0 }).describe('How long it took.'),
  }),
  connections: {
    jobs: role('The job service.', ['GET,POST /jobs', 'GET,DELETE /jobs/*']),
  },

  async start(ctx, input) {
    const jobs = ctx.connection('jobs');
    // Once: another attempt at the same work waits for the same address, and has the same job.
    const address = input.notify ? await ctx.once('address', () => ctx.callback()) : undefined;
    const id = await ctx.once('job', async () => {
      const body = { title: input.title, priority: input.priority };
      if (address) body.notify = requiredUrl(address);
      const response = await jobs.fetch('/jobs', { method: 'POST', json: body, idempotencyKey: true, accept: [422] });
      if (response.status === 422) {
        const { error } = await response.json();
        throw Failure.rejected('job-rejected', `the service rejects \`${input.title}\`: ${error}`).never().detail('title', input.title);
      }
      return Job.read(await response.json()).id;
    });
    ctx.log.info('submitted', { job: id });
    ctx.progress.link('job', jobs.url(path`/jobs/${id}`));
    return waiting({ id, topic: address?.topic }, 'is in the queue');
  },

  async resume(ctx, input, state, event) {
    if (event.kind === 'callback') ctx.log.info('called back', { topic: event.topic === state.topic ? 'its own' : 'another' });
    let job;
    try {
      job = await ctx.connection('jobs').json(path`/jobs/${state.id}`, Job);
    } catch (failure) {
      // The job goes on whether it is watched or not.
      if (failure.passes) return waiting(state, `cannot be looked at now (${failure.code})`);
      throw failure;
    }
    return outcomeOf(ctx, job, state);
  },

  async rollback(ctx) {
    const withdrawn = [];
    // After a job that failed, another attempt has another job. One whose answer got lost is found by its key.
    for (const started of ctx.starts) {
      const id = started.recorded('job') ?? (await byKey(ctx, started.key))?.id;
      if (id === undefined) continue;
      const response = await ctx.connection('jobs').fetch(path`/jobs/${id}`, { method: 'DELETE', accept: [404] });
      if (response.status !== 404) withdrawn.push(id);
    }
    return { withdrawn };
  },

  async find(ctx) {
    const job = await byKey(ctx, ctx.idempotencyKey);
    return job && outcomeOf(ctx, job, { id: job.id });
  },
});

async function byKey(ctx, key) {
  const found = await ctx.connection('jobs').json('/jobs', t.open({ jobs: t.array(Job) }), { query: { key } });
  return found.jobs[0];
}

function outcomeOf(ctx, job, state) {
  switch (job.state) {
    case 'done':
      ctx.progress.percent(100);
      return { id: job.id, artifact: job.artifact, seconds: job.seconds };
    case 'failed':
      throw Failure.rejected('job-failed', `job ${job.id} failed: ${job.reason ?? 'no reason given'}`).detail('job', job.id);
    default:
      ctx.progress.status(`job ${job.id} is ${job.state}`);
      return waiting(state, `is ${job.state}`);
  }
}

function waiting(state, how) {
  return suspend({ state, after: '2s', callback: state.topic, status: `job ${state.id} ${how}` });
}

export default plugin({
  name: 'jobs',
  version: '0.1.0',
  description: 'Work at a job service.',
  actions: [submit],
});
