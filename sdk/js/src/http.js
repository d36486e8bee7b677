// `fetch` to a connection: what comes back is a response, what goes wrong is a failure of the fitting class.

import { milliseconds } from './duration.js';
import { Failure } from './failure.js';
import { textOf, written } from './json.js';

const OPTIONS = ['json', 'form', 'query', 'idempotencyKey', 'accept', 'timeout'];
/** What of `fetch`'s own is passed on. */
const INIT = ['method', 'headers', 'body', 'redirect', 'signal', 'cache', 'credentials', 'mode', 'keepalive', 'duplex', 'referrer', 'referrerPolicy', 'integrity'];
const BODY_BYTES_SHOWN = 64 * 1024;
/** The longest wait that a server can ask for and get. */
const RETRY_AFTER_MAX = 86_400_000;

/** Kinds of trouble that come before anything is sent. */
const NOT_SENT = ['denied', 'not-connected', 'untrusted', 'bad-request'];
/** Statuses with which something in between may answer for a server that has done the work. */
const IN_DOUBT = [408, 500, 502, 504];

/** Why no response came. */
export class TransportError extends Error {
  constructor(kind, message) {
    super(message);
    this.name = 'TransportError';
    this.kind = kind;
  }

  /** Whether the request may have had its effect all the same. */
  get effectUnknown() { return !NOT_SENT.includes(this.kind); }
}

const TRANSPORT = {
  'denied': ['forbidden', 'request-denied'],
  'not-connected': ['transient', 'not-connected'],
  'untrusted': ['unauthenticated', 'untrusted'],
  'interrupted': ['transient', 'interrupted'],
  'timed-out': ['timed-out', 'timed-out'],
  'too-large': ['internal', 'too-large'],
  'bad-request': ['internal', 'bad-request'],
  'other': ['transient', 'transport'],
};

/** A path of segments, each percent-encoded: ``path`/jobs/${id}` ``. */
export function path(strings, ...segments) {
  return strings.reduce((before, text, index) => {
    const segment = textOf(segments[index - 1], `what comes after \`${before}\` in a path`);
    return before + encodeURIComponent(segment) + text;
  });
}

/** Pairs of a query or a form. */
function pairs(fields, what) {
  return new URLSearchParams(Object.entries(fields).map(([name, value]) => [name, textOf(value, `\`${name}\` in ${what}`)]));
}

function isPlain(value) { return Object.getPrototypeOf(value ?? '') === Object.prototype; }

/** An endpoint that the operator bound to a role. Credentials are added by the host, on the wire. */
export class Connection {
  #host;
  #key;
  #pending;

  constructor(host, { name, baseUrl, properties }, idempotencyKey, pending) {
    this.#host = host;
    this.#key = idempotencyKey;
    this.#pending = pending;
    this.name = name;
    this.baseUrl = baseUrl;
    this.properties = properties;
  }

  /** The full address of a path, for example to show as a link. */
  url(path) {
    const slash = path === '' || path.startsWith('/') ? '' : '/';
    return this.baseUrl.replace(/\/+$/, '') + slash + path;
  }

  /**
   * `fetch` to a path below the base URL. Besides what `fetch` knows: `json` (a body), `form` (one as HTML's forms send it), `query` (parameters),
   * `idempotencyKey: true` (sends the operation's key, or a key that is given), `accept` (statuses that are no failure; `true`: all),
   * `timeout` (for the response to begin and for each next part).
   */
  fetch(path, init) { return this.#tracked(path, init, this.#fetch(path, init)); }

  /** `fetch`, and the answer read as JSON of a type; the failure names the field that is not as expected. */
  json(path, type, init) { return this.#tracked(path, init, this.#json(path, type, init)); }

  #tracked(path, init, request) {
    return this.#pending.track(`${(init?.method ?? 'GET').toUpperCase()} ${String(path).split('?')[0]}`, request);
  }

  async #fetch(path, { json, form, query, idempotencyKey = false, accept = [], timeout = '30s', ...init } = {}) {
    const unknown = Object.keys(init).find((it) => !INIT.includes(it));
    if (unknown) throw new TypeError(`a request has no \`${unknown}\`; it has ${OPTIONS.concat(INIT).join(', ')}`);
    if (Array.isArray(init.body) || isPlain(init.body)) {
      throw new TypeError('`body` is an object: `json` sends it as JSON');
    }
    let url = this.url(path);
    const parameters = pairs(query ?? {}, 'the query').toString();
    if (parameters !== '') url += (url.includes('?') ? '&' : '?') + parameters;
    if (isPlain(init.headers)) Object.entries(init.headers).forEach(([name, value]) => textOf(value, `the header \`${name}\``));
    const headers = new Headers(init.headers);
    if (!headers.has('accept')) headers.set('accept', 'application/json, */*;q=0.5');
    if (json !== undefined) {
      init.body = written(json, 'the body');
      headers.set('content-type', 'application/json');
    }
    // `fetch` itself says so of a form; what stands in its place in a test may not.
    if (form !== undefined) init.body = pairs(form, 'the form');
    if (init.body instanceof URLSearchParams && !headers.has('content-type')) {
      headers.set('content-type', 'application/x-www-form-urlencoded;charset=UTF-8');
      init.body = init.body.toString();
    }
    if (idempotencyKey) headers.set('idempotency-key', idempotencyKey === true ? this.#key : String(idempotencyKey));
    const method = (init.method ?? 'GET').toUpperCase();
    let response;
    try {
      response = await this.#host.fetch(url, { ...init, method, headers, timeout: milliseconds(timeout) });
    } catch (error) {
      throw transportFailure(method, url, error);
    }
    if (response.ok || accept === true || (Array.isArray(accept) && accept.includes(response.status))) return response;
    throw await statusFailure(method, url, response);
  }

  async #json(path, type, init) {
    const method = (init?.method ?? 'GET').toUpperCase();
    const response = await this.#fetch(path, init);
    let text;
    try {
      text = await response.text();
    } catch (error) {
      throw transportFailure(method, this.url(path), error);
    }
    try {
      const value = JSON.parse(text);
      return type ? type.read(value) : value;
    } catch (error) {
      const problem = error instanceof SyntaxError ? noJson(response.headers.get('content-type'), text) : error.message;
      const message = `the answer to ${method} ${this.url(path)} is not what was expected: ${problem}`;
      throw Failure.internal('unexpected-response', message);
    }
  }
}

/** The failure that a missing response stands for. */
export function transportFailure(method, url, error) {
  const place = url.split('?')[0];
  const [failureClass, code] = TRANSPORT[error.kind] ?? TRANSPORT.other;
  if (code === 'request-denied') {
    const why = 'the action has to ask for it among the requests of its role, and the connection to allow it';
    return Failure.forbidden('request-denied', `the host denied ${method} ${place}: ${why}`).never();
  }
  const failure = new Failure(failureClass, code, `${method} ${place}: ${error.message}`);
  failure.effectUnknown = error.effectUnknown ?? true;
  return failureClass === 'internal' ? failure.never() : failure;
}

/** The failure that a status stands for, with what the body says. */
export async function statusFailure(method, url, response) {
  const { status } = response;
  const place = url.split('?')[0];
  let body = '';
  try {
    body = (await response.text()).slice(0, BODY_BYTES_SHOWN);
  } catch {
    // The status alone says enough.
  }
  const text = said(body);
  const hint = status >= 300 && status < 400
    ? " (redirects are not followed: is the connection's address right?)"
    : '';
  const message = `${method} ${place} was answered with ${status}${hint}${text === '' ? '' : `: ${text}`}`;
  const failure = new Failure(classOf(status), `http-${status}`, message).detail('status', status);
  failure.effectUnknown = IN_DOUBT.includes(status);
  const wait = ['rate-limited', 'transient'].includes(failure.class) ? retryAfter(response.headers) : undefined;
  return wait === undefined ? failure : failure.after(wait);
}

function classOf(status) {
  switch (status) {
    case 400: case 422: return 'invalid';
    case 401: case 407: return 'unauthenticated';
    case 403: return 'forbidden';
    case 404: case 410: return 'not-found';
    case 408: case 504: return 'timed-out';
    case 409: case 412: case 423: case 425: return 'conflict';
    case 429: return 'rate-limited';
    case 501: case 505: return 'internal';
    default: return status >= 500 ? 'transient' : 'internal';
  }
}

/** `Retry-After` in milliseconds; a date asks for the wait between it and `Date`. */
function retryAfter(headers) {
  const value = headers.get('retry-after')?.trim();
  if (!value) return undefined;
  const wait = /^\d+$/.test(value) ? Number(value) * 1_000 : Date.parse(value) - Date.parse(headers.get('date') ?? '');
  return Number.isNaN(wait) ? undefined : Math.min(Math.max(wait, 0), RETRY_AFTER_MAX);
}

/** What the body says, on one line: a JSON error's message, or text without markup. */
function said(body) {
  let text = body;
  try {
    const json = JSON.parse(body);
    text = messageOf(json) ?? JSON.stringify(json);
  } catch {
    if (/^\s*</.test(body)) text = body.replace(/<(script|style)[\s\S]*?<\/\1>/gi, ' ').replace(/<[^>]*>?/g, ' ');
  }
  const line = text.trim().split(/\s+/).join(' ');
  return line.length > 500 ? `${line.slice(0, 500)}…` : line;
}

function messageOf(json) {
  const of = (value) => {
    if (typeof value === 'string') return value || undefined;
    if (typeof value !== 'object' || value === null) return undefined;
    const parts = ['message', 'detail', 'error_description'].map((name) => value[name]).filter((it) => typeof it === 'string' && it !== '');
    return parts.length > 0 ? parts.join(' – ') : undefined;
  };
  return of(json?.error) ?? (typeof json === 'object' ? of(json) : undefined) ?? of(json?.errors?.[0]);
}

/** What came instead of JSON: a login page, a proxy's complaint. */
function noJson(kind, text) {
  if (text === '') return 'it is empty';
  const beginning = text.slice(0, 400).split(/\s+/).filter(Boolean).join(' ').slice(0, 60);
  return `it is no JSON (${kind ?? 'of no type'}) and begins with \`${beginning}\``;
}
