// Write Windlass plugins in JavaScript.
//
// Everything but `component.js` and `wasi-http.js` also runs outside of a component, so that a plugin's tests need none.

export { action, CONTRACT, Plugin, plugin, role } from './plugin.js';
export { requiredUrl } from './context.js';
export { CallbackEvent } from './event.js';
export { Failure } from './failure.js';
export { path } from './http.js';
export { suspend, Suspension } from './outcome.js';
export { Mismatch, t, Type } from './schema.js';
