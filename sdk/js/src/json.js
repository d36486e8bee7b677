// Values as JSON, and as texts. A Promise would be written as `{}`, what is missing as `undefined`, and the mistake be found
// elsewhere or never.

import { Failure } from './failure.js';

/** A value as JSON. `what` it is, for the failure where an `await` is missing. */
export function written(value, what) {
  return JSON.stringify(value, (field, it) => {
    if (typeof it?.then !== 'function') return it;
    throw missingAwait(it, field === '' ? what : `\`${field}\` in ${what}`);
  });
}

/** A value as it is written into an address, a form or a header: a text, a number or a boolean; nothing else has one meaning there. */
export function textOf(value, what) {
  if (['string', 'boolean', 'bigint'].includes(typeof value) || Number.isFinite(value)) return String(value);
  if (typeof value?.then === 'function') throw missingAwait(value, what);
  const is = Array.isArray(value) ? 'a list' : typeof value === 'object' && value !== null ? 'an object' : String(value);
  throw Failure.internal('no-text', `${what} is ${is}: write a text, a number or a boolean, or leave it out`).never();
}

function missingAwait(promise, what) {
  promise.then(undefined, () => {}); // What comes of it nobody asks any more.
  return Failure.internal('missing-await', `${what} is a Promise: an \`await\` is missing`).never();
}
