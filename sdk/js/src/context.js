// What an operation has in hand: who it works for, and the host's capabilities.

import { Failure } from './failure.js';
import { Connection } from './http.js';
import { written } from './json.js';

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** One call, and what the host offers to it. */
export class Context {
  #host;
  #call;
  #pending;
  #roles;

  constructor(host, call, pending, roles) {
    this.#host = host;
    this.#call = call;
    this.#pending = pending;
    this.#roles = roles;
    const line = (level) => (message, fields = {}) => host.log(level, String(message), pairs(fields));
    /** Lines for the release's log. */
    this.log = { trace: line('trace'), debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') };
    /** What people see while a call runs; the last value of each stands. */
    this.progress = {
      status: (text) => host.status(String(text)),
      percent: (value) => host.percent(Math.max(0, Math.min(100, Math.round(value)))),
      link: (title, url) => host.link(String(title), String(url)),
    };
  }

  get release() { return this.#call.release; }
  get step() { return this.#call.step; }
  get attempt() { return this.#call.attempt; }
  get operation() { return this.#call.operation; }
  get idempotencyKey() { return this.#call.idempotencyKey; }
  get dryRun() { return this.#call.dryRun; }

  /** When the host will stop this attempt, waits included. */
  get deadline() { return this.#call.deadline === undefined ? undefined : new Date(this.#call.deadline); }

  /** A value of the call's open list: `tenant`, `environment`, `actor`, `traceparent`. */
  value(name) { return this.#call.context.find(([key]) => key === name)?.[1]; }

  /** The time of day. */
  now() { return new Date(this.#host.now()); }

  /** The connection bound to a role; a failure that says what to do if there is none. */
  connection(role) {
    const connection = this.optionalConnection(role);
    if (connection) return connection;
    const known = this.#roles.map((it) => `\`${it}\``).join(', ') || 'none';
    const message = this.#roles.includes(role)
      ? `no connection is bound to the role \`${role}\`: a workflow's step names one in \`connection\`, a test gives its host one`
      : `the action has no role \`${role}\`; it declares ${known}`;
    throw Failure.invalid('connection-missing', message).never();
  }

  /** The connection bound to an optional role, or undefined. */
  optionalConnection(role) {
    const connection = this.#host.connection(role);
    return connection && new Connection(this.#host, connection, this.#call.idempotencyKey, this.#pending);
  }

  /** Makes an address that wakes the step when the other side calls it. */
  callback() { return this.#host.callback(); }

  /**
   * Does a part of this piece of work once: what came back is recorded, and another attempt under the same idempotency
   * key gets it without doing it again. After a definite answer the key is another, and so is the work. A failure is
   * not recorded. What `start` did so `starts` tells.
   */
  once(name, part) { return this.checkpoint(partOf(name, this.idempotencyKey), part); }

  /**
   * The pieces of work that `start` of this step has begun, oldest first; while it goes on the last is its own. There
   * may be something of each for a rollback to undo, also where the answer never came back.
   */
  get starts() {
    const own = this.operation === 'start' ? this.idempotencyKey : '';
    const keys = (this.value('start-keys') ?? own).split(' ').filter((key) => key !== '');
    return keys.map((key) => ({ key, recorded: (name) => this.recorded(partOf(name, key)) }));
  }

  /**
   * Does a part of the step once, however often that is tried: what came back is recorded, and all later attempts and
   * operations of the step get it without doing it again, until a person has the whole step run again. For what was so
   * before the step; for what it does there is `once`. A failure is not recorded.
   */
  checkpoint(name, part) { return this.#pending.track(`the checkpoint \`${name}\``, this.#checkpoint(name, part)); }

  async #checkpoint(name, part) {
    const begun = this.#host.begin(name);
    if (begun.recorded) return parse(name, begun.recorded);
    try {
      const value = await part();
      begun.finish(encoder.encode(written(value ?? null, `the checkpoint \`${name}\``)));
      return value;
    } finally {
      begun.drop();
    }
  }

  /** What a part of the step came to, or undefined if it was not done. */
  recorded(name) {
    const begun = this.#host.begin(name);
    if (begun.recorded) return parse(name, begun.recorded);
    begun.drop();
    return undefined;
  }
}

/** An address's URL; where there is none, a failure that says what the operator has to do, and pauses until then. */
export function requiredUrl(callback) {
  if (callback.url) return callback.url;
  const message = 'this installation takes no callbacks from the network: `windlass serve --callbacks ADDRESS:PORT` does; then try the step again';
  throw Failure.invalid('no-callback-url', message).pause();
}

/** The checkpoint of a part of one piece of work. */
function partOf(name, key) { return `${name}/${key}`; }

function pairs(fields) {
  return Object.entries(fields).map(([name, value]) => [name, typeof value === 'string' ? value : JSON.stringify(value) ?? String(value)]);
}

function parse(name, recorded) {
  try {
    return JSON.parse(decoder.decode(recorded));
  } catch (error) {
    throw Failure.internal('checkpoint', `the checkpoint \`${name}\`: ${error.message}`).never();
  }
}
