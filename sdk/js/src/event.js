// Why a suspended step is resumed.

import { Failure } from './failure.js';

/** A time was reached. */
export const timer = Object.freeze({ kind: 'timer' });

/** A callback arrived. */
export class CallbackEvent {
  constructor(topic, headers, body) {
    this.kind = 'callback';
    this.topic = topic;
    this.headers = headers;
    this.body = body;
  }

  /** The body as JSON of a type. */
  json(type) {
    try {
      const value = JSON.parse(new TextDecoder().decode(this.body));
      return type ? type.read(value) : value;
    } catch (error) {
      throw Failure.invalid('callback-body', `the callback's body is not what was expected: ${error.message}`);
    }
  }
}
