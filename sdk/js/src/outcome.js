// How an operation that goes on says so.

import { milliseconds } from './duration.js';

/** A wait: what to remember, what ends it, what people read meanwhile. */
export class Suspension {
  constructor(state, wakes, status) {
    this.state = state;
    this.wakes = wakes;
    this.status = status;
  }
}

/** Suspends the step; the first of `after`, `at` and `callback` to happen wakes it. */
export function suspend({ state = null, after, at, callback, status, ...unknown }) {
  const [first] = Object.keys(unknown);
  if (first) throw new TypeError(`\`suspend\` has no \`${first}\`; it has state, after, at, callback, status`);
  const wakes = [];
  if (after !== undefined) wakes.push({ kind: 'after', milliseconds: milliseconds(after) });
  if (at !== undefined) wakes.push({ kind: 'at', milliseconds: Math.max(0, Number(at)) });
  if (callback !== undefined) wakes.push({ kind: 'callback', topic: typeof callback === 'string' ? callback : callback.topic });
  if (wakes.length === 0) throw new TypeError('`suspend` needs what wakes the step: `after`, `at` or `callback`');
  if (!status) throw new TypeError('`suspend` needs a `status`: what people read while the step waits');
  return new Suspension(state, wakes, status);
}
