/** So long, in milliseconds: more than one message under way needs to the client and back with the next one. */
const LINGER_MS = 0.2;
/** After lingers in vain so many chances are let pass, twice as many each time. */
const MOST_PASSED = 256;

/**
 * Looks out for work a moment longer before a thread sleeps, where work is likely: waking it takes 50 µs, a third of the way
 * of a message from its publisher to a consumer. It costs CPU, so only what pays is repeated.
 */
export class Linger {
  /** Chances to let pass now, and after the next linger in vain. */
  #pass = 0;
  #nextPass = 1;

  /** @returns whether there is work */
  until(hasWork: () => boolean): boolean {
    if (this.#pass > 0) {
      this.#pass--;
      return false;
    }
    const endMs = performance.now() + LINGER_MS;
    do {
      if (hasWork()) {
        this.#nextPass = 1;
        return true;
      }
    } while (performance.now() < endMs);
    this.#pass = this.#nextPass;
    this.#nextPass = Math.min(this.#nextPass * 2, MOST_PASSED);
    return false;
  }
}
