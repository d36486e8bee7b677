// Values as JSON. A Promise would be written as `{}`, and the mistake be found elsewhere or never.

import { Failure } from './failure.js';

/** A value as JSON. `what` it is, for the failure where an `await` is missing. */
export function written(value, what) {
  return JSON.stringify(value, (field, it) => {
    if (typeof it?.then !== 'function') return it;
    it.then(undefined, () => {}); // What comes of it nobody asks any more.
    const where = field === '' ? what : `\`${field}\` in ${what}`;
    throw Failure.internal('missing-await', `${where} is a Promise: an \`await\` is missing`).never();
  });
}
