// What an operation has begun and does not wait for.

/** A promise that knows whether anybody has asked for what comes of it. */
class Asked extends Promise {
  #isAsked = false;

  /** What is made of it is an ordinary promise. */
  static get [Symbol.species]() { return Promise; }

  get isAsked() { return this.#isAsked; }

  /** `await`, `return` and `Promise.all` come here as well, since this is not exactly a `Promise`. */
  then(fulfilled, rejected) {
    this.#isAsked = true;
    return super.then(fulfilled, rejected);
  }

  /** Nobody may ever ask: that is told in the end, and no rejection that nobody has handled. */
  settled(whatever) { super.then(whatever, whatever); }
}

export class Pending {
  #begun = new Set();

  /** Knows of `what` until it has come to something, and somebody has asked what. */
  track(what, promise) {
    const tracked = new Asked((resolve, reject) => promise.then(resolve, reject));
    const begun = { what, tracked, isGoingOn: true };
    this.#begun.add(begun);
    tracked.settled(() => { begun.isGoingOn = false; });
    return tracked;
  }

  /** What goes on, and what nobody has asked for. Nobody waits for it: the operation may have done without on purpose. */
  left() {
    return [...this.#begun].filter((it) => it.isGoingOn || !it.tracked.isAsked).map((it) => it.what);
  }
}
