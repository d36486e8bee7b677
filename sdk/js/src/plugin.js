// A plugin: its actions, its manifest, and the way from a call in JSON to the right function and back.

import { Context } from './context.js';
import { milliseconds } from './duration.js';
import { Failure } from './failure.js';
import { written } from './json.js';
import { Suspension } from './outcome.js';
import { Pending } from './pending.js';
import { Type } from './schema.js';

/** The version of the plugin contract that this SDK speaks. */
export const CONTRACT = '0.1';

const STATE_BYTES_MAX = 65_536;
const NAME = /^[a-z][a-z0-9_-]{0,62}$/;
const OPERATIONS = ['cancel', 'rollback', 'find'];
/** What goes on with an operation that waited. */
const RESUMES = { start: 'resume', cancel: 'resumeCancel', rollback: 'resumeRollback' };
const ACTION_KEYS = [
  'name', 'description', 'effect', 'input', 'output', 'connections', 'limits',
  'start', 'resume', 'cancel', 'resumeCancel', 'rollback', 'resumeRollback', 'find',
];
const encoder = new TextEncoder();
const decoder = new TextDecoder();

function isName(name) { return typeof name === 'string' && NAME.test(name); }

/** Declares an action; here so that editors know the types of its functions. */
export function action(declaration) {
  const wrong = (problem) => { throw new TypeError(`action \`${declaration.name}\`: ${problem}`); };
  if (!isName(declaration.name)) wrong('a name is [a-z][a-z0-9_-]{0,62}');
  for (const key of Object.keys(declaration)) {
    if (!ACTION_KEYS.includes(key)) wrong(`there is no \`${key}\`; an action has ${ACTION_KEYS.join(', ')}`);
  }
  if (!['read', 'idempotent_write', 'write'].includes(declaration.effect)) wrong('`effect` is read, idempotent_write or write');
  for (const which of ['input', 'output']) {
    if (!(declaration[which] instanceof Type)) wrong(`\`${which}\` is a type made with \`t\``);
  }
  if (typeof declaration.start !== 'function') wrong('there is no function `start`');
  return declaration;
}

/** Declares a connection role: `requests` are the requests made, as `'POST /jobs'` or `'GET,DELETE /jobs/*'`. */
export function role(description, requests, { required = true } = {}) {
  return {
    description,
    required,
    requests: requests.map((request) => {
      const [methods, path] = request.split(' ');
      if (!path?.startsWith('/')) throw new TypeError(`\`${request}\` is no request: write for example GET,POST /jobs/*`);
      return { methods: methods.split(','), path };
    }),
  };
}

/** Declares the plugin; the module's default export. */
export function plugin({ name, version, description, actions }) {
  if (!isName(name)) throw new TypeError(`\`${name}\` is no name of a plugin: write [a-z][a-z0-9_-]{0,62}`);
  return new Plugin(name, version, description, new Map(actions.map((it) => [it.name, it])));
}

export class Plugin {
  constructor(name, version, description, actions) {
    this.name = name;
    this.version = version;
    this.description = description;
    this.actions = actions;
  }

  /** What the plugin says of itself. Pure. */
  manifest() {
    const actions = {};
    for (const [name, action] of this.actions) actions[name] = describe(action);
    return { name: this.name, version: this.version, contract: CONTRACT, description: this.description, actions };
  }

  async start(host, call) {
    return carryOut(this.#action(call), 'start', host, call);
  }

  async resume(host, call, state, event) {
    const action = this.#action(call);
    const name = RESUMES[call.operation];
    if (!action[name]) {
      throw Failure.internal('never-suspends', `\`${action.name}\` was resumed but has no \`${name}\``).never();
    }
    const given = call.operation === 'rollback' ? () => [output(action, call), readState(state), event] : () => [readState(state), event];
    return carryOut(action, name, host, call, given);
  }

  async cancel(host, call, state) {
    return carryOut(this.#operation(call, 'cancel'), 'cancel', host, call, () => [state === undefined ? undefined : readState(state)]);
  }

  async rollback(host, call) {
    const action = this.#operation(call, 'rollback');
    return carryOut(action, 'rollback', host, call, () => [output(action, call)]);
  }

  /** The outcome, or undefined if the effect never happened. */
  async find(host, call) {
    return carryOut(this.#operation(call, 'find'), 'find', host, call);
  }

  #action(call) {
    const action = this.actions.get(call.action);
    if (action) return action;
    const known = [...this.actions.keys()].join(', ');
    throw Failure.invalid('unknown-action', `\`${this.name}\` has no action \`${call.action}\`; it has ${known}`).never();
  }

  #operation(call, operation) {
    const action = this.#action(call);
    if (action[operation]) return action;
    throw Failure.internal('unknown-operation', `\`${action.name}\` has no ${operation}`).never();
  }
}

function describe(action) {
  const described = {
    description: action.description,
    input: action.input.schema,
    output: action.output.schema,
    effect: action.effect,
  };
  for (const operation of OPERATIONS) described[operation] = action[operation] !== undefined;
  described.connections = action.connections ?? {};
  const { cpu, wall, ...limits } = action.limits ?? {};
  if (cpu !== undefined) limits.cpu_ms = milliseconds(cpu);
  if (wall !== undefined) limits.wall_ms = milliseconds(wall);
  described.limits = limits;
  return described;
}

/** Calls the function `name` of the action with its input and what else it is given. */
async function carryOut(action, name, host, call, given = () => []) {
  const pending = new Pending();
  const ctx = new Context(host, call, pending, Object.keys(action.connections ?? {}));
  let outcome;
  try {
    outcome = await action[name](ctx, input(action, call), ...given());
  } catch (error) {
    // What was to come of a request is most often what an exception lacks.
    const left = pending.left();
    if (error instanceof Error && !(error instanceof Failure) && left.length > 0) {
      error.message += ` – and nobody waits for ${left.join(', ')}: is an \`await\` missing?`;
    }
    throw error;
  }
  if (outcome instanceof Failure) {
    const message = `\`${name}\` of \`${action.name}\` returns the failure \`${outcome.code}\`, which ends nothing: \`throw\` it`;
    throw Failure.internal('failure-returned', message).never();
  }
  const isMissing = name === 'find' && (outcome === undefined || outcome === null);
  const answer = isMissing ? undefined : write(action, name, call, outcome);
  const left = pending.left();
  if (left.length > 0) host.unawaited(`\`${name}\` of \`${action.name}\` did not wait for ${left.join(', ')}, and what comes of that is not known: an \`await\` is missing`);
  return answer;
}

function input(action, call) {
  try {
    return action.input.read(JSON.parse(call.input));
  } catch (error) {
    throw Failure.invalid('input', `the input of \`${action.name}\`: ${error.message}`).never();
  }
}

function output(action, call) {
  if (call.output === undefined) return undefined;
  try {
    return action.output.read(JSON.parse(call.output));
  } catch (error) {
    throw Failure.internal('output', `the output that \`${action.name}\` gave: ${error.message}`).never();
  }
}

function readState(state) {
  try {
    return JSON.parse(decoder.decode(state));
  } catch (error) {
    throw Failure.internal('state', `the suspended state cannot be read: ${error.message}`).never();
  }
}

/** What the function `name` of the action came to, as it leaves the component. */
function write(action, name, call, outcome) {
  if (outcome instanceof Suspension) {
    const state = encoder.encode(written(outcome.state, `the state of \`${action.name}\``));
    const limit = Math.min(action.limits?.state_bytes ?? STATE_BYTES_MAX, STATE_BYTES_MAX);
    if (state.length > limit) {
      const message = `the state of \`${action.name}\` has ${state.length} bytes; a suspension carries ${limit} at most`;
      throw Failure.internal('state-too-large', message).never();
    }
    const resume = RESUMES[call.operation];
    if (!action[resume]) {
      const message = `\`${action.name}\` suspends in \`${name}\` but has no \`${resume}\`: it could never go on`;
      throw Failure.internal('never-suspends', message).never();
    }
    return { suspended: { state, wakes: outcome.wakes, status: outcome.status } };
  }
  return { done: written(outcome ?? null, `what \`${name}\` of \`${action.name}\` gives`) };
}
