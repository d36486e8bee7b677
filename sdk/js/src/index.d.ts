/** A type: its JSON Schema, and reading values with it. */
export declare class Type<T, Optional extends boolean = false> {
  private readonly _type: T;
  readonly schema: object;
  readonly isOptional: Optional;
  describe(description: string): Type<T, Optional>;
  optional(): Type<T, true>;
  default(value: T): Type<T, false> & { readonly hasDefault: true };
  nullable(): Type<T | null, Optional>;
  /** The value with defaults; throws a `Mismatch` that names the field. */
  read(value: unknown): T;
}

/** A value that is not as its type says. */
export declare class Mismatch extends Error {}

/** What a type reads. */
export type Infer<A> = A extends Type<infer T, boolean> ? T : never;

type Fields = Record<string, Type<any, boolean>>;
type Flat<T> = { [K in keyof T]: T[K] } & {};
type Read<F extends Fields> = Flat<
  { [K in keyof F as F[K] extends Type<any, true> ? never : K]: Infer<F[K]> } &
  { [K in keyof F as F[K] extends Type<any, true> ? K : never]?: Infer<F[K]> }
>;
type TextBounds = { minLength?: number; maxLength?: number; pattern?: string };
type NumberBounds = { minimum?: number; maximum?: number };

export declare const t: {
  string(bounds?: TextBounds): Type<string>;
  number(bounds?: NumberBounds): Type<number>;
  integer(bounds?: NumberBounds): Type<number>;
  boolean(): Type<boolean>;
  enum<const V extends readonly (string | number)[]>(...values: V): Type<V[number]>;
  array<T>(items: Type<T>, bounds?: { minItems?: number; maxItems?: number }): Type<T[]>;
  /** An object with these fields and no others: a typo is an error. */
  object<F extends Fields>(fields: F): Type<Read<F>>;
  /** An object with these fields, whatever else it has: what another system answers. */
  open<F extends Fields>(fields: F): Type<Read<F>>;
  /** An object with any names. */
  record<T>(values: Type<T>): Type<Record<string, T>>;
  any(): Type<unknown>;
};

/** Milliseconds, or a text like `90s`, `1h30m`, `500ms`. */
export type Duration = number | string;
export type Operation = 'start' | 'cancel' | 'rollback';
export type Effect = 'read' | 'idempotent_write' | 'write';
export type FailureClass =
  | 'transient' | 'rate-limited' | 'timed-out' | 'unauthenticated' | 'forbidden' | 'not-found'
  | 'conflict' | 'invalid' | 'rejected' | 'canceled' | 'internal';

/** A declared failure: throw it. */
export declare class Failure extends Error {
  constructor(failureClass: FailureClass, code: string, message: string);
  readonly class: FailureClass;
  readonly code: string;
  readonly retry: { advice: 'by-policy' | 'never' | 'pause' } | { advice: 'after'; milliseconds: number };
  readonly details: Record<string, string>;
  /** Whether the request that failed may have had its effect: its answer got lost, or something in between answered. */
  readonly effectUnknown: boolean;
  /** Whether the same request may well succeed a little later: what a step that polls should sit out. */
  readonly passes: boolean;
  static transient(code: string, message: string): Failure;
  static rateLimited(code: string, message: string): Failure;
  static timedOut(code: string, message: string): Failure;
  static unauthenticated(code: string, message: string): Failure;
  static forbidden(code: string, message: string): Failure;
  static notFound(code: string, message: string): Failure;
  static conflict(code: string, message: string): Failure;
  static invalid(code: string, message: string): Failure;
  static rejected(code: string, message: string): Failure;
  static canceled(code: string, message: string): Failure;
  static internal(code: string, message: string): Failure;
  never(): this;
  pause(): this;
  after(wait: Duration): this;
  detail(name: string, value: unknown): this;
}

/** An address that wakes a suspended step. */
export interface Callback {
  topic: string;
  /** None where the installation takes no callbacks from the network. */
  url?: string;
}

/** The address's URL, or a failure that says what the operator has to do. */
export declare function requiredUrl(callback: Callback): string;

export declare class Suspension<State = unknown> {
  readonly state: State;
  readonly status: string;
}

/** Suspends the step; the first of `after`, `at` and `callback` to happen wakes it. */
export declare function suspend<State = null>(wait: {
  state?: State;
  after?: Duration;
  at?: Date | number;
  callback?: string | Callback;
  status: string;
}): Suspension<State>;

export declare class CallbackEvent {
  readonly kind: 'callback';
  readonly topic: string;
  readonly headers: Headers;
  readonly body: Uint8Array;
  json(): unknown;
  json<T>(type: Type<T>): T;
}
export type Event = { readonly kind: 'timer' } | CallbackEvent;

export interface FetchInit extends Omit<RequestInit, 'signal' | 'redirect' | 'credentials'> {
  /** A JSON body. */
  json?: unknown;
  /** A body as HTML's forms send it. */
  form?: Record<string, string | number | boolean>;
  /** Query parameters. */
  query?: Record<string, string | number | boolean>;
  /** Sends the operation's key in the header `Idempotency-Key`, or the one that is given. */
  idempotencyKey?: boolean | string;
  /** Statuses besides 2xx that are no failure; `true`: all. */
  accept?: number[] | true;
  /** For the response to begin and for each next part; 30 s if not said. */
  timeout?: Duration;
}

export interface Connection {
  readonly name: string;
  readonly baseUrl: string;
  readonly properties: Record<string, string>;
  url(path: string): string;
  fetch(path: string, init?: FetchInit): Promise<Response>;
  json(path: string, type?: undefined, init?: FetchInit): Promise<unknown>;
  json<T>(path: string, type: Type<T>, init?: FetchInit): Promise<T>;
}

/** A path with its segments percent-encoded: ``path`/jobs/${id}` ``. */
export declare function path(strings: TemplateStringsArray, ...segments: (string | number)[]): string;

type Line = (message: string, fields?: Record<string, unknown>) => void;

export interface Context {
  readonly release: string;
  readonly step: string;
  readonly attempt: number;
  readonly operation: Operation;
  /** The same for the attempts of this operation until one of them has got a definite answer, and for `find`. */
  readonly idempotencyKey: string;
  readonly dryRun: boolean;
  readonly deadline: Date | undefined;
  readonly log: { trace: Line; debug: Line; info: Line; warn: Line; error: Line };
  readonly progress: { status(text: string): void; percent(value: number): void; link(title: string, url: string): void };
  value(name: string): string | undefined;
  now(): Date;
  connection(role: string): Connection;
  optionalConnection(role: string): Connection | undefined;
  callback(): Callback;
  /** Does a part of this piece of work once; another attempt under the same key gets what came back. */
  once<T>(name: string, part: () => T | Promise<T>): Promise<T>;
  /** The pieces of work that `start` has begun, oldest first: there may be something of each for a rollback to undo. */
  readonly starts: readonly Started[];
  /** Does a part of the step once, however often that is tried: for what was so before. */
  checkpoint<T>(name: string, part: () => T | Promise<T>): Promise<T>;
  recorded<T>(name: string): T | undefined;
}

/** A piece of work that `start` has begun, under an idempotency key of its own. */
export interface Started {
  /** By which the other system knows it. */
  readonly key: string;
  /** What `once` came to in it, or undefined if it was not done. */
  recorded<T>(name: string): T | undefined;
}

export interface Limits {
  cpu?: Duration;
  wall?: Duration;
  memory_bytes?: number;
  output_bytes?: number;
  log_bytes?: number;
  state_bytes?: number;
  http_requests?: number;
  request_bytes?: number;
  response_bytes?: number;
}

export interface Role {
  description: string;
  required: boolean;
  requests: { methods: string[]; path: string }[];
}

/** A connection role with the requests made: `'POST /jobs'`, `'GET,DELETE /jobs/*'`. */
export declare function role(description: string, requests: string[], options?: { required?: boolean }): Role;

type Answer<T> = T | Promise<T>;
type Ended = Answer<unknown>;

export interface Action<Input, Output, State> {
  name: string;
  description: string;
  effect: Effect;
  input: Type<Input>;
  output: Type<Output>;
  connections?: Record<string, Role>;
  limits?: Limits;
  start(ctx: Context, input: Input): Answer<Output | Suspension<State>>;
  resume?(ctx: Context, input: Input, state: State, event: Event): Answer<Output | Suspension<State>>;
  cancel?(ctx: Context, input: Input, state: State | undefined): Ended;
  resumeCancel?(ctx: Context, input: Input, state: any, event: Event): Ended;
  rollback?(ctx: Context, input: Input, output: Output | undefined): Ended;
  resumeRollback?(ctx: Context, input: Input, output: Output | undefined, state: any, event: Event): Ended;
  find?(ctx: Context, input: Input): Answer<Output | Suspension<State> | undefined | null>;
}

/** Declares an action. */
export declare function action<Input, Output, State>(declaration: Action<Input, Output, State>): Action<Input, Output, State>;

export declare class Plugin {
  readonly name: string;
  readonly version: string;
  readonly actions: Map<string, Action<any, any, any>>;
  manifest(): object;
}

/** Declares the plugin; the module's default export. */
export declare function plugin(declaration: {
  name: string;
  version: string;
  description: string;
  actions: Action<any, any, any>[];
}): Plugin;

/** The version of the plugin contract that this SDK speaks. */
export declare const CONTRACT: string;
