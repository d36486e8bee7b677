// Requests over `wasi:http`, answered with the platform's own `Response`.
//
// The engine's global `fetch` works too, but says of every failure only that there was one. A retry policy has to know
// a denial from a lost connection, so this asks the host itself.

import { handle } from 'wasi:http/outgoing-handler@0.2.12';
import { Fields, httpErrorCode, OutgoingBody, OutgoingRequest, RequestOptions } from 'wasi:http/types@0.2.12';

import { TransportError } from './http.js';

const CONNECT_TIMEOUT = 10_000;
const BODY_BYTES_MAX = 8 * 1024 * 1024;
/** What `blocking-write-and-flush` takes at once. */
const WRITE_BYTES_MAX = 4_096;
const READ_BYTES_MAX = 64n * 1024n;
const METHODS = ['get', 'head', 'post', 'put', 'delete', 'connect', 'options', 'trace', 'patch'];

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Sends a request. It is on its way when this returns, so several can be awaited together. */
export async function send(url, { method, headers, body, timeout }) {
  const given = body === undefined || body === null ? undefined : new Response(body);
  const bytes = given === undefined ? undefined : new Uint8Array(await given.arrayBuffer());
  const type = given?.headers.get('content-type');
  if (type && !headers.has('content-type')) headers.set('content-type', type);
  if (bytes) headers.set('content-length', String(bytes.length));
  const pending = begin(url, method, headers, bytes, timeout);
  await undefined;
  return receive(pending);
}

function begin(url, method, headers, bytes, timeout) {
  const address = new URL(url);
  const list = [...headers].map(([name, value]) => [name, encoder.encode(value)]);
  const request = new OutgoingRequest(attempt('a header is not allowed', () => Fields.fromList(list)));
  const name = method.toLowerCase();
  attempt('the request is not a valid one', () => {
    request.setMethod(METHODS.includes(name) ? { tag: name } : { tag: 'other', val: method });
    request.setScheme({ tag: address.protocol === 'https:' ? 'HTTPS' : 'HTTP' });
    request.setAuthority(address.host);
    request.setPathWithQuery(address.pathname + address.search);
  });
  const options = new RequestOptions();
  options.setConnectTimeout(nanoseconds(CONNECT_TIMEOUT));
  options.setFirstByteTimeout(nanoseconds(timeout));
  options.setBetweenBytesTimeout(nanoseconds(timeout));
  // A body that is asked for and left empty is sent in chunks, which some servers refuse.
  const body = bytes && request.body();
  let pending;
  try {
    pending = handle(request, options);
  } catch (error) {
    throw transportError(payload(error));
  }
  // The host answers early when it refuses or the connection breaks, and says why there, not on the stream.
  if (!body) return pending;
  if (write(body, bytes)) {
    try {
      OutgoingBody.finish(body, undefined);
    } catch (error) {
      throw transportError(payload(error));
    }
  } else {
    drop(body);
  }
  return pending;
}

function write(body, bytes) {
  if (bytes.length === 0) return true;
  const stream = body.write();
  try {
    for (let at = 0; at < bytes.length; at += WRITE_BYTES_MAX) {
      stream.blockingWriteAndFlush(bytes.subarray(at, at + WRITE_BYTES_MAX));
    }
    return true;
  } catch {
    return false;
  } finally {
    drop(stream);
  }
}

function receive(pending) {
  const ready = pending.subscribe();
  ready.block();
  drop(ready);
  const answer = pending.get();
  if (answer?.tag !== 'ok') throw new TransportError('other', 'the host gave no answer');
  if (answer.val.tag !== 'ok') throw transportError(answer.val.val);
  const incoming = answer.val.val;
  const status = incoming.status();
  const headers = new Headers();
  for (const [name, value] of incoming.headers().entries()) headers.append(name, decoder.decode(value));
  const body = incoming.consume();
  const stream = body.stream();
  const bytes = read(stream);
  drop(stream);
  drop(body);
  drop(incoming);
  return new Response([204, 205, 304].includes(status) ? null : bytes, { status, headers });
}

function read(stream) {
  const parts = [];
  let length = 0;
  for (;;) {
    let part;
    try {
      part = stream.blockingRead(READ_BYTES_MAX);
    } catch (error) {
      const failed = payload(error);
      if (failed.tag === 'closed') break;
      const code = httpErrorCode(failed.val);
      throw code ? transportError(code) : new TransportError('interrupted', failed.val.toDebugString());
    }
    length += part.length;
    if (length > BODY_BYTES_MAX) throw new TransportError('too-large', `the answer has more than ${BODY_BYTES_MAX} bytes`);
    parts.push(part);
  }
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

const KINDS = {
  'denied': ['HTTP-request-denied', 'destination-IP-prohibited'],
  'not-connected': [
    'DNS-timeout', 'DNS-error', 'destination-not-found', 'destination-unavailable', 'destination-IP-unroutable',
    'connection-refused', 'connection-timeout', 'connection-limit-reached', 'TLS-protocol-error', 'TLS-alert-received',
  ],
  'untrusted': ['TLS-certificate-error'],
  'timed-out': ['connection-read-timeout', 'connection-write-timeout', 'HTTP-response-timeout'],
  // What a connection that breaks in the middle looks like differs from host to host.
  'interrupted': ['connection-terminated', 'HTTP-response-incomplete', 'HTTP-protocol-error'],
  'other': ['HTTP-response-transfer-coding', 'HTTP-response-content-coding', 'HTTP-upgrade-failed', 'loop-detected', 'internal-error'],
};

function kind(code) {
  const known = Object.entries(KINDS).find(([, codes]) => codes.includes(code));
  if (known) return known[0];
  // What is left are limits that were passed, and requests that cannot be sent.
  return /^HTTP-(request-body|response)-.*size$/.test(code) ? 'too-large' : 'bad-request';
}

function transportError(code) {
  const said = code.val === undefined ? '' : ` (${typeof code.val === 'string' ? code.val : describe(code.val)})`;
  return new TransportError(kind(code.tag), code.tag.replaceAll('-', ' ') + said);
}

function describe(value) {
  return JSON.stringify(value, (_, it) => (typeof it === 'bigint' ? Number(it) : it));
}

function attempt(what, operation) {
  try {
    return operation();
  } catch (error) {
    throw new TransportError('bad-request', `${what}: ${describe(payload(error)) ?? error}`);
  }
}

/** What a function of the contract failed with; an error of the engine's own is thrown on. */
function payload(error) {
  if (error?.payload !== undefined) return error.payload;
  if (error instanceof Error && !('payload' in error)) throw error;
  return error;
}

function nanoseconds(milliseconds) {
  return BigInt(milliseconds) * 1_000_000n;
}

/** Resources are dropped in order, children first: the engine's collector would not know. */
function drop(resource) {
  resource[Symbol.dispose]?.();
}
