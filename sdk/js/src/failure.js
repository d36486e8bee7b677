// What an action throws when an operation does not succeed.

import { milliseconds } from './duration.js';

/** The classes of the contract; each has a constructor of its name on `Failure`. */
export const CLASSES = [
  'transient', 'rate-limited', 'timed-out', 'unauthenticated', 'forbidden', 'not-found',
  'conflict', 'invalid', 'rejected', 'canceled', 'internal',
];

/** A declared failure: its class for the policy, a stable code for programs, a message for people. */
export class Failure extends Error {
  constructor(failureClass, code, message) {
    super(message);
    if (!CLASSES.includes(failureClass)) {
      throw new TypeError(`\`${failureClass}\` is no class of failure; there are ${CLASSES.join(', ')}`);
    }
    this.name = 'Failure';
    this.class = failureClass;
    this.code = code;
    this.retry = { advice: 'by-policy' };
    this.details = {};
    /** Whether the request that failed may have had its effect: its answer got lost, or something in between answered. */
    this.effectUnknown = false;
  }

  static transient(code, message) { return new Failure('transient', code, message); }
  static rateLimited(code, message) { return new Failure('rate-limited', code, message); }
  static timedOut(code, message) { return new Failure('timed-out', code, message); }
  static unauthenticated(code, message) { return new Failure('unauthenticated', code, message); }
  static forbidden(code, message) { return new Failure('forbidden', code, message); }
  static notFound(code, message) { return new Failure('not-found', code, message); }
  static conflict(code, message) { return new Failure('conflict', code, message); }
  static invalid(code, message) { return new Failure('invalid', code, message); }
  static rejected(code, message) { return new Failure('rejected', code, message); }
  static canceled(code, message) { return new Failure('canceled', code, message); }
  static internal(code, message) { return new Failure('internal', code, message); }

  /** Advises against any attempt of the same input. */
  never() { this.retry = { advice: 'never' }; return this; }

  /** Advises to wait for a person. */
  pause() { this.retry = { advice: 'pause' }; return this; }

  /** Advises another attempt, not before this long. */
  after(wait) { this.retry = { advice: 'after', milliseconds: milliseconds(wait) }; return this; }

  /** Adds a detail. */
  detail(name, value) { this.details[name] = String(value); return this; }

  /** Whether the same request may well succeed a little later: what a step that polls should sit out. */
  get passes() { return ['transient', 'rate-limited', 'timed-out'].includes(this.class); }
}
