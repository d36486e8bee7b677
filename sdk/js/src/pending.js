// The requests of an operation that are still going on.

export class Pending {
  #open = new Map();

  /** Knows of a request until it has ended. */
  track(what, request) {
    const tracked = request.finally(() => this.#open.delete(tracked));
    this.#open.set(tracked, what);
    return tracked;
  }

  /** Those that have not ended. Nobody waits for them: the operation may have done without on purpose. */
  left() {
    for (const request of this.#open.keys()) request.catch(() => {}); // What comes of it nobody asks any more.
    return [...this.#open.values()];
  }
}
