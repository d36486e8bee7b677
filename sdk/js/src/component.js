// The component's side of the contract. `windlass plugin build` puts it around the plugin; nothing else imports it.

import * as callbacks from 'windlass:plugin/callbacks@0.1.0';
import * as checkpoint from 'windlass:plugin/checkpoint@0.1.0';
import * as connections from 'windlass:plugin/connections@0.1.0';
import * as logs from 'windlass:plugin/log@0.1.0';
import * as progress from 'windlass:plugin/progress@0.1.0';

import { CallbackEvent } from './event.js';
import { Failure } from './failure.js';
import { closest, placed } from './places.js';
import { send } from './wasi-http.js';

const host = {
  log: logs.log,
  status: progress.status,
  percent: progress.percent,
  link: progress.link,
  connection(role) {
    const connection = connections.get(role);
    return connection && { ...connection, properties: Object.fromEntries(connection.properties) };
  },
  begin(name) {
    const begun = checkpoint.begin(name);
    if (begun.tag === 'recorded') return { recorded: begun.val };
    let slot = begun.val;
    return {
      finish(value) {
        checkpoint.Slot.finish(slot, value);
        slot = undefined;
      },
      drop() {
        slot?.[Symbol.dispose]?.();
        slot = undefined;
      },
    };
  },
  callback: callbacks.create,
  fetch: send,
  unawaited: (message) => logs.log('warn', message, []),
  now: Date.now,
};

/** The component's export. */
export function step(plugin) {
  return {
    manifest: () => JSON.stringify(plugin.manifest()),
    start: (call) => answer(() => plugin.start(host, plain(call))),
    resume: (call, state, event) => answer(() => plugin.resume(host, plain(call), state, plainEvent(event))),
    cancel: (call, state) => answer(() => plugin.cancel(host, plain(call), state)),
    rollback: (call) => answer(() => plugin.rollback(host, plain(call))),
    find: (call) => answer(() => plugin.find(host, plain(call))),
  };
}

function plain(call) {
  return { ...call, deadline: call.deadline === undefined ? undefined : Number(call.deadline) };
}

function plainEvent(event) {
  if (event.tag === 'timer') return { kind: 'timer' };
  const { topic, headers, body } = event.val;
  return new CallbackEvent(topic, new Headers(headers), body);
}

async function answer(operation) {
  let outcome;
  try {
    outcome = await operation();
  } catch (error) {
    throw wireFailure(error);
  }
  if (outcome === undefined) return undefined;
  if (outcome.done !== undefined) return { tag: 'done', val: outcome.done };
  const { state, wakes, status } = outcome.suspended;
  return { tag: 'suspended', val: { state, wakes: wakes.map(wake), status } };
}

function wake({ kind, milliseconds, topic }) {
  return { tag: kind, val: kind === 'callback' ? topic : BigInt(milliseconds) };
}

/** What is thrown as an error of the contract; what is no `Failure` is a fault of the plugin, and its place is logged. */
function wireFailure(error) {
  let failure = error;
  if (!(error instanceof Failure)) {
    const stack = String(error?.stack ?? '');
    logs.log('error', `${error}\n${placed(stack)}`, []);
    const at = closest(stack);
    failure = Failure.internal('exception', `the plugin threw ${error}${at === undefined ? '' : ` (${at})`}`);
  }
  const { advice, milliseconds } = failure.retry;
  return {
    class: failure.class,
    code: failure.code,
    message: failure.message,
    retry: advice === 'after' ? { tag: 'after', val: BigInt(milliseconds) } : { tag: advice },
    details: Object.entries(failure.details),
  };
}
