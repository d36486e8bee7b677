import assert from 'node:assert/strict';
import { test } from 'node:test';

import { action, Failure, path, plugin, role, suspend, t } from '@windlass/sdk';
import { MockHost, reply, TestStep, TransportError } from '@windlass/sdk/testing';

/** A plugin with one action that does this. */
function doing(start, more = {}) {
  const act = action({
    name: 'act', description: 'Acts.', effect: 'read', input: t.object({}), output: t.any(),
    connections: { app: role('The application.', ['GET,POST /a/**']) }, start, ...more,
  });
  return plugin({ name: 'test', version: '1.0.0', description: 'Tests.', actions: [act] });
}

const step = (start, more) => new TestStep(doing(start, more), 'act', {});
const host = () => new MockHost({ connections: { app: 'https://app.test/base' } });

test('the manifest says what an action is and has', () => {
  const { actions } = doing(() => {}, { find: () => {}, limits: { cpu: '10s', memory_bytes: 1024 } }).manifest();
  assert.deepEqual(actions.act.connections.app.requests, [{ methods: ['GET', 'POST'], path: '/a/**' }]);
  assert.deepEqual([actions.act.cancel, actions.act.rollback, actions.act.find], [false, false, true]);
  assert.deepEqual(actions.act.limits, { memory_bytes: 1024, cpu_ms: 10_000 });
});

test('a declaration that cannot be meant is refused', () => {
  assert.throws(() => doing(() => {}, { resme: () => {} }), /there is no `resme`/);
  assert.throws(() => doing(undefined), /no function `start`/);
  assert.throws(() => doing(() => {}, { effect: 'writes' }), /`effect` is/);
  assert.throws(() => role('x', ['/a']), /`\/a` is no request/);
  assert.throws(() => suspend({ status: 'x' }), /what wakes the step/);
  assert.throws(() => suspend({ after: '2 sec', status: 'x' }), /no length of time/);
});

test('names are those that a host takes', () => {
  const called = (name) => plugin({ name, version: '1.0.0', description: 'Tests.', actions: [] });
  for (const name of ['a', 'create-change', 'eu_1', 'x'.repeat(63)]) assert.equal(called(name).name, name);
  for (const name of ['', '1a', '_a', 'Build', 'a b', 'ä', 'a\n', 'x'.repeat(64), undefined]) {
    assert.throws(() => called(name), { message: `\`${name}\` is no name of a plugin: write [a-z][a-z0-9_-]{0,62}` });
  }
  assert.throws(() => doing(() => {}, { name: 'Act' }), /a name is \[a-z\]\[a-z0-9_-\]\{0,62\}/);
});

test('statuses become failures of the class that a policy can act on', async () => {
  for (const [status, expected] of Object.entries({
    302: 'internal', 400: 'invalid', 401: 'unauthenticated', 403: 'forbidden', 404: 'not-found', 405: 'internal',
    408: 'timed-out', 409: 'conflict', 422: 'invalid', 423: 'conflict', 429: 'rate-limited', 500: 'transient',
    501: 'internal', 502: 'transient', 503: 'transient', 504: 'timed-out', 599: 'transient',
  })) {
    const mock = host().reply('GET /a/b', reply.status(Number(status)));
    await assert.rejects(step((ctx) => ctx.connection('app').fetch('/a/b')).run(mock), { class: expected, code: `http-${status}` });
  }
});

test('what has no meaning as a text is not sent as one', async () => {
  const failing = async (act) => {
    const error = await step((ctx) => act(ctx.connection('app'))).run(host()).then(() => assert.fail('it was sent'), (it) => it);
    return [error.class, error.code, error.message];
  };
  const wanted = 'write a text, a number or a boolean, or leave it out';
  assert.deepEqual(await failing((app) => app.fetch('/a/b', { method: 'POST', form: { artifact: undefined } })),
    ['internal', 'no-text', `\`artifact\` in the form is undefined: ${wanted}`]);
  assert.deepEqual(await failing((app) => app.fetch(path`/a/${null}/log`)),
    ['internal', 'no-text', `what comes after \`/a/\` in a path is null: ${wanted}`]);
  for (const [value, is] of [[undefined, 'undefined'], [NaN, 'NaN'], [['a', 'b'], 'a list'], [{ a: 1 }, 'an object']]) {
    assert.deepEqual(await failing((app) => app.json('/a/b', t.any(), { query: { of: value } })),
      ['internal', 'no-text', `\`of\` in the query is ${is}: ${wanted}`]);
  }
  assert.deepEqual(await failing((app) => app.fetch('/a/b', { headers: { 'X-Of': undefined } })),
    ['internal', 'no-text', `the header \`X-Of\` is undefined: ${wanted}`]);
  assert.deepEqual(await failing((app) => app.fetch('/a/b', { query: { of: Promise.resolve('x') } })),
    ['internal', 'missing-await', '`of` in the query is a Promise: an `await` is missing']);
  const mock = host().reply('POST /a/1/true', reply.json(200, {}));
  await step((ctx) => ctx.connection('app').fetch(path`/a/${1}/${true}`, { method: 'POST', form: { a: 0, b: false, c: '' } }).then(() => null)).run(mock);
  assert.equal(mock.requests[0].body, 'a=0&b=false&c=');
});

test('the message is what the server said, never the query', async () => {
  for (const [body, message] of [
    ['{"error":{"message":"No record","detail":"gone"}}', 'No record – gone'],
    ['{"message":"no"}', 'no'],
    ['{"error":"invalid_client","error_description":"who?"}', 'invalid_client'],
    ['{"errors":[{"message":"first"}]}', 'first'],
    ['<html><style>x{}</style><h1>HTTP  403</h1>No crumb', 'HTTP 403 No crumb'],
    ['plain\nwords', 'plain words'],
  ]) {
    const mock = host().reply('GET /a/b', reply.text(404, body));
    await assert.rejects(step((ctx) => ctx.connection('app').fetch('/a/b?q=1')).run(mock), {
      message: `GET https://app.test/base/a/b was answered with 404: ${message}`,
    });
  }
});

test('a server that asks for time gets it', async () => {
  for (const [headers, wait] of [
    [{ 'retry-after': '7' }, 7_000],
    [{ date: 'Sun, 06 Nov 1994 08:49:37 GMT', 'retry-after': 'Sun, 06 Nov 1994 08:50:00 GMT' }, 23_000],
    [{ 'retry-after': '99999999999' }, 86_400_000],
  ]) {
    const mock = host().reply('GET /a/b', reply.status(429, headers));
    await assert.rejects(step((ctx) => ctx.connection('app').fetch('/a/b')).run(mock), { retry: { advice: 'after', milliseconds: wait } });
  }
  const mock = host().reply('GET /a/b', reply.status(429, { 'retry-after': 'soon' }));
  await assert.rejects(step((ctx) => ctx.connection('app').fetch('/a/b')).run(mock), { retry: { advice: 'by-policy' } });
});

test('no answer is a failure too, and a denial is never tried again', async () => {
  const run = (mock, at = '/a/b') => step((ctx) => ctx.connection('app').fetch(at)).run(mock);
  await assert.rejects(run(host(), '/elsewhere'), { class: 'forbidden', code: 'request-denied', retry: { advice: 'never' } });
  await assert.rejects(run(host().reply('GET /a/b', reply.error('timed-out'))), { class: 'timed-out', passes: true });
  await assert.rejects(run(host().reply('GET /a/b', reply.error('too-large'))), { class: 'internal', retry: { advice: 'never' } });
  const missing = "no connection is bound to the role `app`: a workflow's step names one in `connection`, a test gives its host one";
  await assert.rejects(run(new MockHost()), { code: 'connection-missing', message: missing });
  const misspelt = (more) => step((ctx) => ctx.connection('apps'), more).run(host());
  await assert.rejects(misspelt(), { code: 'connection-missing', message: 'the action has no role `apps`; it declares `app`' });
  await assert.rejects(misspelt({ connections: undefined }), { message: 'the action has no role `apps`; it declares none' });
});

test('a failed request says whether it may have had its effect', async () => {
  const failed = async (answer, at = '/a/b') => {
    const start = (ctx) => ctx.connection('app').fetch(at).catch((error) => [error.code, error.effectUnknown]);
    return step(start).run(host().reply('GET /a/b', answer));
  };
  for (const [kind, code, unknown] of [
    ['interrupted', 'interrupted', true], ['timed-out', 'timed-out', true], ['too-large', 'too-large', true], ['other', 'transport', true],
    ['denied', 'request-denied', false], ['not-connected', 'not-connected', false], ['untrusted', 'untrusted', false], ['bad-request', 'bad-request', false],
  ]) {
    assert.deepEqual(await failed(reply.error(kind)), [code, unknown]);
    assert.equal(new TransportError(kind, 'x').effectUnknown, unknown);
  }
  for (const status of [302, 400, 404, 408, 409, 429, 500, 501, 502, 503, 504, 599]) {
    assert.deepEqual(await failed(reply.status(status)), [`http-${status}`, [408, 500, 502, 504].includes(status)]);
  }
  assert.equal(Failure.timedOut('timed-out', 'no request').effectUnknown, false);
});

test('a request without an answer ends the test, and says what there is', async () => {
  const get = (mock) => step((ctx) => ctx.connection('app').fetch('/a/b?q=1')).run(mock);
  const without = (why) => ({ name: 'Error', message: `the mock host has no answer to GET /a/b?q=1: ${why}` });
  await assert.rejects(get(host()), without('none was scripted'));
  const others = host().reply('POST /a/b', reply.status(201)).always('GET /a/c', reply.status(200)).always('POST /a/b', reply.status(409));
  await assert.rejects(get(others), without('there is POST /a/b, GET /a/c'));
  const once = host().reply('GET /a/b', reply.json(200, {}));
  await get(once);
  await assert.rejects(get(once), without('each `reply` is given once, and all were; `always` is given again and again'));
  const silent = step(async (ctx) => { await ctx.connection('app').fetch('/a/b?q=1').catch(() => {}); });
  await assert.rejects(silent.run(host()), without('none was scripted'));
  await get(new MockHost({ connections: { app: 'https://app.test/' } }).reply('GET /a/b', reply.status(204)));
  const elsewhere = { kind: 'denied', message: 'https://app.testing/a is below no connection: there is `app` at https://app.test/base' };
  await assert.rejects(host().fetch('https://app.testing/a', { method: 'GET' }), elsewhere);
});

test('an answer of another shape names the field', async () => {
  const mock = host().reply('GET /a/b', reply.json(200, { id: 7 }));
  await assert.rejects(step((ctx) => ctx.connection('app').json('/a/b', t.open({ id: t.string() }))).run(mock), {
    code: 'unexpected-response',
    message: 'the answer to GET https://app.test/base/a/b is not what was expected: id: 7 is no string',
  });
});

test('requests are as written', async () => {
  const mock = host().reply('POST /a/b%2Fc', reply.json(200, 1));
  await step(async (ctx) => {
    const body = new URLSearchParams({ x: 'y z' });
    return ctx.connection('app').json(path`/a/${'b/c'}`, undefined, { method: 'POST', body, query: { q: 'ä&' }, idempotencyKey: true });
  }).run(mock);
  const [request] = mock.requests;
  assert.deepEqual([request.query.q, request.body], ['ä&', 'x=y+z']);
  assert.equal(request.headers.get('idempotency-key'), TestStep.key('start'));
});

test('a form is sent as forms are, also to the mock host', async () => {
  const mock = host().always('POST /a/b', reply.status(204));
  for (const init of [{ form: { x: 'y z', n: 7 } }, { body: new URLSearchParams({ x: 'y z', n: '7' }) }]) {
    await step(async (ctx) => { await ctx.connection('app').fetch('/a/b', { method: 'POST', ...init }); }).run(mock);
    const request = mock.requests.at(-1);
    assert.deepEqual([request.body, request.headers.get('content-type')], ['x=y+z&n=7', 'application/x-www-form-urlencoded;charset=UTF-8']);
  }
});

test('a checkpoint is done once, a failure is not recorded', async () => {
  const mock = host();
  let times = 0;
  const counted = step((ctx) => ctx.checkpoint('part', () => {
    times += 1;
    if (times === 1) throw Failure.transient('lost', 'the answer was lost');
    return { times };
  }));
  await assert.rejects(counted.run(mock), { code: 'lost' });
  assert.deepEqual([await counted.run(mock), await counted.run(mock)], [{ times: 2 }, { times: 2 }]);
});

test('an `await` that is missing is told, with the field', async () => {
  const scripted = () => host().always('GET /a/b', reply.json(200, { id: 7 })).always('POST /a/b', reply.status(204));
  const get = (ctx) => ctx.connection('app').json('/a/b');
  const waits = (state) => suspend({ state, after: '1s', status: 'waits' });
  for (const [start, message] of [
    [(ctx) => ({ id: 'x', job: get(ctx) }), '`job` in what `start` of `act` gives'],
    [(ctx) => ({ jobs: [{ id: get(ctx) }] }), '`id` in what `start` of `act` gives'],
    [(ctx) => waits({ job: get(ctx) }), '`job` in the state of `act`'],
    [(ctx) => waits(get(ctx)), 'the state of `act`'],
    [(ctx) => ctx.checkpoint('part', () => ({ job: get(ctx) })), '`job` in the checkpoint `part`'],
    [(ctx) => ctx.connection('app').fetch('/a/b', { method: 'POST', json: { job: get(ctx) } }), '`job` in the body'],
  ]) {
    const failure = { class: 'internal', code: 'missing-await', message: `${message} is a Promise: an \`await\` is missing`, retry: { advice: 'never' } };
    await assert.rejects(step(start, { resume: () => {} }).start(scripted()), failure);
  }
  assert.deepEqual(await step(async (ctx) => ({ job: await get(ctx) })).run(scripted()), { job: { id: 7 } });
  const read = step(async (ctx) => t.object({}).read((await ctx.connection('app').fetch('/a/b')).json()));
  await assert.rejects(read.run(scripted()), /it is a Promise: an `await` is missing/);
});

test('a request that nobody waited for is told', async () => {
  const remove = (ctx) => { ctx.connection('app').fetch('/a/b?force=1', { method: 'POST', json: {} }); };
  const told = { message: '`start` of `act` did not wait for POST /a/b, and what comes of that is not known: an `await` is missing' };
  await assert.rejects(step(remove).run(host().reply('POST /a/b', reply.status(204))), told);
  await assert.rejects(step(remove).run(host().reply('POST /a/b', reply.status(500))), told);
  await assert.rejects(step(() => {}, { rollback: remove }).rollback(host().reply('POST /a/b', reply.status(204))), /^Error: `rollback` of `act` did not wait for POST/);
  const both = step(async (ctx) => {
    await Promise.all([1, 2].map((body) => ctx.connection('app').fetch('/a/b', { method: 'POST', body })));
  });
  assert.equal(await both.run(host().always('POST /a/b', reply.status(204))), null);
});

test('a request, or a checkpoint, that ended before anybody asked what came of it is told', async () => {
  const scripted = () => host().always('POST /a/b', reply.status(500)).always('GET /a/b', reply.json(200, {}));
  const meanwhile = (begin) => step(async (ctx) => {
    begin(ctx);
    for (let times = 0; times < 10; times += 1) await ctx.connection('app').json('/a/b');
    return {};
  });
  const post = (ctx) => ctx.connection('app').fetch('/a/b', { method: 'POST', json: {} });
  const told = (what) => new RegExp(`^Error: .start. of .act. did not wait for ${what}, and what comes of that is not known`);
  await assert.rejects(meanwhile(post).run(scripted()), told('POST /a/b'));
  await assert.rejects(meanwhile((ctx) => ctx.connection('app').json('/a/b')).run(scripted()), told('GET /a/b'));
  await assert.rejects(meanwhile((ctx) => ctx.checkpoint('before', () => 1)).run(scripted()), told('the checkpoint `before`'));
  // Asked for is asked for: in whatever way, and whatever came of it.
  const kinds = [
    (ctx) => post(ctx).catch(() => {}),
    (ctx) => Promise.allSettled([post(ctx)]),
    async (ctx) => { try { await post(ctx); } catch { /* The answer does not matter. */ } },
    (ctx) => (async () => ctx.once('part', async () => ctx.connection('app').json('/a/b')))(),
  ];
  for (const kind of kinds) assert.deepEqual(await meanwhile(kind).run(scripted()), {});
});

test('an exception for want of an `await` names the request', async () => {
  const scripted = () => host().always('GET /a/b', reply.json(200, { jobs: [] }));
  const hasty = step((ctx) => { const { jobs } = ctx.connection('app').json('/a/b'); return jobs[0]; });
  await assert.rejects(hasty.run(scripted()), /^TypeError: .* – and nobody waits for GET \/a\/b: is an `await` missing\?$/);
  // Without a request there is nothing to wait for, and what is declared says enough.
  await assert.rejects(step(() => undefined[0]).run(host()), (error) => error instanceof TypeError && !error.message.includes('await'));
  const declared = step((ctx) => { ctx.connection('app').json('/a/b'); throw Failure.rejected('no', 'not this one'); });
  await assert.rejects(declared.run(scripted()), { message: 'not this one' });
});

test('a failure that is returned is told', async () => {
  const failure = { class: 'internal', code: 'failure-returned', message: '`start` of `act` returns the failure `gone`, which ends nothing: `throw` it' };
  await assert.rejects(step(() => Failure.notFound('gone', 'it is gone')).start(host()), failure);
  await assert.rejects(step(() => {}, { find: async () => Failure.notFound('gone', 'x') }).find(host()), { code: 'failure-returned' });
});

test('what a request or a wait does not know is refused, and a key may be given', async () => {
  const send = (init) => step(async (ctx) => { await ctx.connection('app').fetch('/a/b', { method: 'POST', ...init }); });
  const scripted = host().always('POST /a/b', reply.status(204));
  await assert.rejects(send({ idempotency_key: true }).run(scripted), /a request has no `idempotency_key`; it has json, form, query, idempotencyKey/);
  await assert.rejects(send({ body: { a: 1 } }).run(scripted), /`body` is an object: `json` sends it/);
  assert.throws(() => suspend({ afer: '1s', status: 'x' }), /`suspend` has no `afer`; it has state, after/);
  await send({ idempotencyKey: 'of-an-earlier-start' }).run(scripted);
  assert.equal(new Headers(scripted.requests.at(-1).headers).get('idempotency-key'), 'of-an-earlier-start');
});

test('an output that is none says whose it is', async () => {
  const typed = (start) => step(start, { output: t.object({ id: t.string() }) });
  await assert.rejects(typed(() => {}).run(host()), /what `act` gives is not its output: .*null is no object: is a `return` missing\?: null$/);
  await assert.rejects(typed(() => ({ id: 7 })).run(host()),
    { code: 'output-breaks-schema', message: 'what `act` gives is not its output: id: 7 is no string: {"id":7}' });
});

test('cancel and rollback may wait too', async () => {
  const wait = (state) => suspend({ state, after: '1s', status: 'waits' });
  const patient = step(() => wait({ n: 1 }), {
    resume: (ctx, input, state) => state,
    cancel: (ctx, input, state) => wait(['cancel', state]),
    resumeCancel: (ctx, input, state) => state,
    rollback: (ctx, input, output) => wait(['rollback']),
    resumeRollback: (ctx, input, output, state) => [...state, output],
  });
  const { suspended } = await patient.start(host());
  assert.deepEqual(await patient.cancel(host(), suspended), ['cancel', { n: 1 }]);
  assert.deepEqual(await patient.rollback(host(), 'out'), ['rollback', 'out']);
});

test('what waits and could never go on fails where it suspends', async () => {
  const wait = () => suspend({ after: '1s', status: 'waits' });
  const stuck = step(wait, { cancel: wait, rollback: wait, find: wait });
  for (const [operation, resume] of [['start', 'resume'], ['find', 'resume'], ['cancel', 'resumeCancel'], ['rollback', 'resumeRollback']]) {
    await assert.rejects(stuck[operation](host()), {
      class: 'internal', code: 'never-suspends', retry: { advice: 'never' },
      message: `\`act\` suspends in \`${operation}\` but has no \`${resume}\`: it could never go on`,
    });
  }
  await assert.rejects(stuck.resume(host(), { state: null }), { code: 'never-suspends', message: '`act` was resumed but has no `resume`' });
});

test('a state that is too large is the plugin’s fault', async () => {
  const large = step(() => suspend({ state: 'x'.repeat(70_000), after: 1, status: 'waits' }));
  await assert.rejects(large.start(host()), { code: 'state-too-large', retry: { advice: 'never' } });
});
