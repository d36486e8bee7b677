import { CallbackEvent, Event, Operation, Plugin } from './index.js';
export { CallbackEvent } from './index.js';

export type TransportErrorKind =
  | 'denied' | 'not-connected' | 'untrusted' | 'interrupted' | 'timed-out' | 'too-large' | 'bad-request' | 'other';
export declare class TransportError extends Error {
  constructor(kind: TransportErrorKind, message: string);
  readonly kind: TransportErrorKind;
  /** Whether the request may have had its effect all the same. */
  readonly effectUnknown: boolean;
}

export type Reply = { status: number; headers: Record<string, string>; body: string | null } | { error: TransportErrorKind };
export declare const reply: {
  status(status: number, headers?: Record<string, string>): Reply;
  json(status: number, body: unknown, headers?: Record<string, string>): Reply;
  text(status: number, body: string, headers?: Record<string, string>): Reply;
  error(kind: TransportErrorKind): Reply;
};

export interface SeenRequest {
  route: string;
  method: string;
  path: string;
  query: Record<string, string>;
  headers: Headers;
  body: string;
  json(): any;
}

export declare const timer: Event;

export declare class MockHost {
  constructor(options?: {
    connections?: Record<string, string>;
    callbacks?: boolean;
    server?: (request: SeenRequest) => Reply | undefined;
  });
  readonly requests: SeenRequest[];
  readonly lines: { level: string; message: string; fields: Record<string, string> }[];
  readonly links: { title: string; url: string }[];
  readonly lastStatus: string | undefined;
  readonly lastPercent: number | undefined;
  reply(route: string, answer: Reply): this;
  always(route: string, answer: Reply): this;
  advance(milliseconds: number): void;
  count(route: string): number;
}

export interface Suspended {
  state: any;
  wakes: { kind: 'after' | 'at' | 'callback'; milliseconds?: number; topic?: string }[];
  status: string;
}
export type Tested = { output: any; suspended?: undefined } | { output?: undefined; suspended: Suspended };

export declare class TestStep {
  constructor(plugin: Plugin, action: string, input: unknown, options?: { attempt?: number; starts?: number; context?: Record<string, string> });
  static key(operation: Operation): string;
  /** The idempotency key of the `n`th piece of work that `start` begins, from 1. */
  static startKey(n: number): string;
  /** The same step in an attempt of `start` after one that got a definite answer: under another idempotency key. */
  startAnew(): TestStep;
  start(host: MockHost): Promise<Tested>;
  resume(host: MockHost, suspended: Pick<Suspended, 'state'>, event?: Event | CallbackEvent): Promise<Tested>;
  run(host: MockHost): Promise<any>;
  cancel(host: MockHost, suspended?: Suspended): Promise<any>;
  rollback(host: MockHost, output?: unknown): Promise<any>;
  find(host: MockHost): Promise<Tested | undefined>;
}
