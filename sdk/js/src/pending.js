// The requests of an operation that are still going on.

export class Pending {
  #open = new Map();

  /** Knows of a request until it has ended. */
  track(what, request) {
    const tracked = request.finally(() => this.#open.delete(tracked));
    this.#open.set(tracked, what);
    return tracked;
  }

  /** Waits for what has not ended: each request, and how it failed. */
  async left() {
    const left = [...this.#open];
    const ends = await Promise.allSettled(left.map(([request]) => request));
    return left.map(([, what], at) => (ends[at].reason === undefined ? what : `${what} (${ends[at].reason.message})`));
  }
}
