import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CallbackEvent, MockHost, reply, TestStep } from '@windlass/sdk/testing';

import plugin from '../src/plugin.js';

const job = (state, more = {}) => reply.json(200, { id: 'j-1', state, ...more });

function submitted(input = {}) {
  const host = new MockHost({ connections: { jobs: 'https://jobs.test/v1' } });
  host.reply('POST /jobs', reply.json(201, { id: 'j-1', state: 'queued' }));
  return { host, step: new TestStep(plugin, 'submit', { title: 'index', ...input }) };
}

test('a job is submitted once and waited for', async () => {
  const { host, step } = submitted();
  host.reply('GET /jobs/j-1', job('running'));
  host.reply('GET /jobs/j-1', reply.status(503));
  host.reply('GET /jobs/j-1', job('done', { artifact: 'https://jobs.test/a', seconds: 4 }));
  assert.deepEqual(await step.run(host), { id: 'j-1', artifact: 'https://jobs.test/a', seconds: 4 });
  assert.deepEqual(host.requests[0].json(), { title: 'index', priority: 'normal' });
  assert.equal(host.requests[0].headers.get('idempotency-key'), TestStep.key('start'));
  // Another attempt finds the checkpoint.
  assert.equal((await step.start(host)).suspended.status, 'job j-1 is in the queue');
  assert.equal(host.count('POST /jobs'), 1);
});

test('a rejection is a failure of its own that is not tried again', async () => {
  const host = new MockHost({ connections: { jobs: 'https://jobs.test' } });
  host.reply('POST /jobs', reply.json(422, { error: 'no such index' }));
  await assert.rejects(new TestStep(plugin, 'submit', { title: 'index' }).start(host), {
    class: 'rejected', code: 'job-rejected', retry: { advice: 'never' }, details: { title: 'index' },
    message: 'the service rejects `index`: no such index',
  });
});

test('the service calls back', async () => {
  const { host, step } = submitted({ notify: true });
  const { suspended } = await step.start(host);
  assert.equal(host.requests[0].json().notify, 'https://windlass.test/callbacks/topic-1');
  assert.deepEqual(suspended.wakes.map((it) => it.kind), ['after', 'callback']);
  host.reply('GET /jobs/j-1', job('failed', { reason: 'disk full' }));
  const event = new CallbackEvent('topic-1', new Headers(), new Uint8Array());
  await assert.rejects(step.resume(host, suspended, event), { code: 'job-failed', message: 'job j-1 failed: disk full' });
  assert.deepEqual(host.lines.at(-1), { level: 'info', message: 'called back', fields: { topic: 'its own' } });
});

test('a rollback withdraws all jobs, also one whose answer got lost', async () => {
  const { host, step } = submitted();
  host.reply('GET /jobs/j-1', job('failed', { reason: 'no room' }));
  await assert.rejects(step.run(host), { code: 'job-failed' });
  // That was an answer: another attempt is another job.
  const again = step.startAnew();
  host.reply('POST /jobs', reply.status(503));
  await assert.rejects(again.run(host), { code: 'http-503' });
  host.reply('GET /jobs', reply.json(200, { jobs: [{ id: 'j-2', state: 'queued' }] }));
  host.reply('DELETE /jobs/j-1', reply.status(404));
  host.reply('DELETE /jobs/j-2', reply.status(204));
  assert.deepEqual(await again.rollback(host), { withdrawn: ['j-2'] });
  assert.equal(host.requests.find((it) => it.route === 'GET /jobs').query.key, TestStep.startKey(2));
});

test('a job is found by its key', async () => {
  const { host, step } = submitted();
  host.reply('GET /jobs', reply.json(200, { jobs: [] }));
  host.reply('GET /jobs', reply.json(200, { jobs: [{ id: 'j-7', state: 'running' }] }));
  assert.equal(await step.find(host), undefined);
  assert.deepEqual((await step.find(host)).suspended.state, { id: 'j-7' });
  assert.equal(host.requests[0].query.key, TestStep.key('start'));
});
