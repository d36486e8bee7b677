// A host for a plugin's own tests, and a step that goes through it.
//
// Nothing here is a sandbox or a network: answers are scripted, time only moves when a test or a wake moves it. What the
// real host checks is checked here too: requests against the manifest's roles, inputs and outputs against its schemas.

import { appendFileSync } from 'node:fs';

import { CallbackEvent, timer } from './event.js';
import { Failure } from './failure.js';
import { TransportError } from './http.js';

export { CallbackEvent, timer } from './event.js';
export { TransportError } from './http.js';

const START = Date.UTC(2026, 0, 5, 9);
/** More wakes than any test needs: a step that goes on longer never ends. */
const WAKES_MAX = 10_000;
/** How many characters of an output are shown that is not as declared. */
const SHOWN = 200;
const KEYS = {
  start: '0123456789abcdef0123456789abcdef',
  cancel: 'cccccccccccccccccccccccccccccccc',
  rollback: 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb',
};

/** A scripted answer. */
export const reply = {
  status: (status, headers = {}) => ({ status, headers, body: null }),
  json: (status, body, headers = {}) => ({
    status, headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body),
  }),
  text: (status, body, headers = {}) => ({ status, headers, body }),
  /** No answer, for this reason: `interrupted`, `timed-out`, `not-connected`, … */
  error: (kind) => ({ error: kind }),
};

/** A host whose answers a test scripts; it stands at 2026-01-05 09:00 UTC. */
export class MockHost {
  #connections = new Map();
  #routes = new Map();
  #standing = new Map();
  #server;
  #grants = {};
  #checkpoints = new Map();
  #callbacks = 0;
  #clock = START;
  #complaint;

  /** What the plugin did. */
  requests = [];
  lines = [];
  links = [];
  lastStatus;
  lastPercent;

  constructor({ connections = {}, callbacks = true, server } = {}) {
    for (const [role, baseUrl] of Object.entries(connections)) {
      this.#connections.set(role, { name: `${role}-test`, baseUrl: baseUrl.replace(/\/+$/, ''), properties: {} });
    }
    this.takesCallbacks = callbacks;
    this.#server = server;
  }

  /** Scripts the next answer to `METHOD /path` (below the base URL, without the query). */
  reply(route, answer) {
    this.#routes.set(route, [...(this.#routes.get(route) ?? []), answer]);
    return this;
  }

  /** Scripts the answer to `METHOD /path` for when no other is left. */
  always(route, answer) {
    this.#standing.set(route, answer);
    return this;
  }

  /** Lets time pass. */
  advance(milliseconds) { this.#clock += milliseconds; }

  /** How many requests went to `METHOD /path`. */
  count(route) { return this.requests.filter((it) => it.route === route).length; }

  // What the SDK asks of a host.

  log(level, message, fields) { this.lines.push({ level, message, fields: Object.fromEntries(fields) }); }
  status(text) { this.lastStatus = text; }
  percent(value) { this.lastPercent = value; }
  link(title, url) { this.links.push({ title, url }); }
  connection(role) { return this.#connections.get(role); }
  now() { return this.#clock; }

  begin(name) {
    if (this.#checkpoints.has(name)) return { recorded: this.#checkpoints.get(name) };
    return {
      finish: (value) => {
        if (value.length > 65_536) throw new Error('a checkpoint holds at most 64 KiB');
        this.#checkpoints.set(name, value);
      },
      drop() {},
    };
  }

  callback() {
    const topic = `topic-${++this.#callbacks}`;
    return { topic, url: this.takesCallbacks ? `https://windlass.test/callbacks/${topic}` : undefined };
  }

  async fetch(url, { method, headers, body }) {
    const found = [...this.#connections].find(([, it]) => url.startsWith(it.baseUrl) && /^([/?]|$)/.test(url.slice(it.baseUrl.length)));
    if (!found) throw new TransportError('denied', `${url} is below no connection: ${this.#bound()}`);
    const [role, { baseUrl }] = found;
    const address = new URL(url);
    const path = url.slice(baseUrl.length).split('?')[0];
    const granted = (this.#grants[role]?.requests ?? []).some((it) => it.methods.includes(method) && pathMatches(it.path, path));
    if (!granted) throw new TransportError('denied', `the manifest does not ask for ${method} ${path}`);
    const route = `${method} ${path}`;
    const text = body === undefined || body === null ? '' : await new Response(body).text();
    const request = { route, method, path, query: Object.fromEntries(address.searchParams), headers, body: text, json: () => JSON.parse(text) };
    this.requests.push(request);
    const answer = this.#routes.get(route)?.shift() ?? this.#server?.(request) ?? this.#standing.get(route);
    if (!answer) {
      this.#complaint = new Error(`the mock host has no answer to ${route}${address.search}: ${this.#scripted(route)}`);
      throw this.#complaint;
    }
    if (answer.error) throw new TransportError(answer.error, `scripted: ${answer.error}`);
    return new Response(answer.body, { status: answer.status, headers: answer.headers });
  }

  /** Why there is no answer, and what there is. */
  #scripted(route) {
    if (this.#routes.has(route)) return 'each `reply` is given once, and all were; `always` is given again and again';
    const known = [...new Set([...this.#routes.keys(), ...this.#standing.keys()])];
    return known.length === 0 ? 'none was scripted' : `there is ${known.join(', ')}`;
  }

  #bound() {
    const known = [...this.#connections].map(([role, { baseUrl }]) => `\`${role}\` at ${baseUrl}`);
    return known.length === 0 ? 'the mock host has none' : `there is ${known.join(', ')}`;
  }

  /** The component logs a warning; a test fails of it, since nobody reads the log of one that passes. */
  unawaited(message) { this.#complaint ??= new Error(message); }

  /** Throws if a request had no answer or was not awaited, whatever the plugin made of that; `TestStep` asks after each call. */
  complain() {
    const complaint = this.#complaint;
    this.#complaint = undefined;
    if (complaint) throw complaint;
  }

  /** The roles of the action whose step runs; `TestStep` says it. */
  grant(roles) { this.#grants = roles; }
}

/** One step: an action with its input, and the attempt that it is in. */
export class TestStep {
  constructor(plugin, action, input, { attempt = 1, starts = 1, context = {} } = {}) {
    this.plugin = plugin;
    this.action = plugin.actions.get(action);
    if (!this.action) throw new Error(`the plugin has no action \`${action}\``);
    this.input = input;
    this.attempt = attempt;
    this.starts = starts;
    this.context = Object.entries(context);
  }

  /** The same step in an attempt of `start` after one that got a definite answer: under another idempotency key. */
  startAnew() {
    const { attempt, starts, context } = this;
    const step = new TestStep(this.plugin, this.action.name, this.input, { attempt: attempt + 1, starts: starts + 1 });
    step.context = context;
    return step;
  }

  /** The idempotency key of the `n`th piece of work that `start` begins, from 1. */
  static startKey(n) { return n === 1 ? KEYS.start : n.toString(16).padStart(8, '0') + KEYS.start.slice(8); }

  /** The idempotency key of an operation; another for each, as in the host. */
  static key(operation) { return KEYS[operation]; }

  /** Tells `windlass plugin test` which operations of which actions the tests call. */
  #tell(called) {
    const file = process.env.WINDLASS_TESTED;
    if (!file) return;
    const optional = ['cancel', 'rollback', 'find'];
    const operations = (action) => ['start', ...optional.filter((operation) => action[operation])];
    const actions = Object.entries(this.plugin.manifest().actions);
    const declared = Object.fromEntries(actions.map(([name, action]) => [name, operations(action)]));
    appendFileSync(file, JSON.stringify({ action: this.action.name, called, declared }) + '\n');
  }

  /** Calls `start`: `{ output }` or `{ suspended: { state, wakes, status } }`. */
  async start(host) {
    this.#tell('start');
    return this.#checked(await this.#made(host, 'start', this.#call(host, 'start')));
  }

  /** Calls `resume` of the action itself. */
  async resume(host, { state }, event = timer) {
    return this.#checked(await this.#made(host, 'resume', this.#call(host, 'start'), bytes(state), event));
  }

  /** Starts, and resumes at each timer with the clock moved there, until it ends: the output. */
  async run(host) { return this.#follow(host, await this.start(host), 'start'); }

  /** Cancels, and follows the cancel to its end. */
  async cancel(host, suspended) {
    this.#tell('cancel');
    const state = suspended && bytes(suspended.state);
    return this.#follow(host, parsed(await this.#made(host, 'cancel', this.#call(host, 'cancel'), state)), 'cancel');
  }

  /** Rolls back, and follows the rollback to its end. */
  async rollback(host, output) {
    this.#tell('rollback');
    return this.#follow(host, parsed(await this.#made(host, 'rollback', this.#call(host, 'rollback', output))), 'rollback', output);
  }

  /** Calls `find`: as `start`, or undefined. */
  async find(host) {
    this.#tell('find');
    const found = await this.#made(host, 'find', this.#call(host, 'start'));
    return found && this.#checked(found);
  }

  async #follow(host, first, operation, output) {
    let answer = first;
    for (let wakes = 0; wakes < WAKES_MAX; wakes += 1) {
      if (!answer.suspended) return answer.output;
      host.advance(waitOf(answer.suspended, host.now()));
      const call = this.#call(host, operation, output);
      const resumed = await this.#made(host, 'resume', call, bytes(answer.suspended.state), timer);
      answer = operation === 'start' ? this.#checked(resumed) : parsed(resumed);
    }
    throw new Error(`\`${this.action.name}\` was woken ${WAKES_MAX} times and has not ended`);
  }

  async #made(host, operation, ...given) {
    try {
      return await this.plugin[operation](host, ...given);
    } finally {
      host.complain();
    }
  }

  #call(host, operation, output) {
    this.action.input.read(this.input);
    host.grant(this.plugin.manifest().actions[this.action.name].connections);
    const keys = Array.from({ length: this.starts }, (_, at) => TestStep.startKey(at + 1));
    return {
      action: this.action.name, operation, release: 'payments-1', step: 'step', attempt: this.attempt,
      idempotencyKey: operation === 'start' ? keys.at(-1) : KEYS[operation], deadline: undefined, dryRun: false, input: JSON.stringify(this.input),
      output: output === undefined ? undefined : JSON.stringify(output), context: [...this.context, ['start-keys', keys.join(' ')]],
    };
  }

  #checked(outcome) {
    const answer = parsed(outcome);
    if (answer.suspended) return answer;
    try {
      this.action.output.read(answer.output);
    } catch (error) {
      const missing = answer.output === null ? ': is a `return` missing?' : '';
      const shown = JSON.stringify(answer.output);
      const message = `what \`${this.action.name}\` gives is not its output: ${error.message}${missing}: ${shown.length > SHOWN ? `${shown.slice(0, SHOWN)}…` : shown}`;
      throw Failure.internal('output-breaks-schema', message).never();
    }
    return answer;
  }
}

function parsed({ done, suspended }) {
  if (done !== undefined) return { output: JSON.parse(done) };
  return { suspended: { ...suspended, state: JSON.parse(new TextDecoder().decode(suspended.state)) } };
}

function bytes(state) {
  return new TextEncoder().encode(JSON.stringify(state));
}

function waitOf({ wakes, status }, now) {
  const waits = wakes.flatMap(({ kind, milliseconds }) => {
    if (kind === 'after') return [milliseconds];
    return kind === 'at' ? [Math.max(0, milliseconds - now)] : [];
  });
  if (waits.length === 0) throw new Error(`\`${status}\` is woken by no timer`);
  return Math.min(...waits);
}

/** Matches as the manifest says: `*` within one segment, `**` any number of segments. */
function pathMatches(pattern, path) {
  const segments = (pattern, path) => {
    if (pattern.length === 0) return path.length === 0;
    const [first, ...rest] = pattern;
    if (first === '**') return path.some((_, taken) => segments(rest, path.slice(taken))) || segments(rest, []);
    return path.length > 0 && segment(first, path[0]) && segments(rest, path.slice(1));
  };
  const segment = (pattern, text) =>
    new RegExp(`^${pattern.split('*').map((it) => it.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('.*')}$`).test(text);
  return segments(pattern.split('/'), path.split('/'));
}
