/** Which client of a pull consumer is pinned (jetstream-consumers §7): at most one, as long as it keeps asking. */
import { randomId } from '../../names.ts';
import { durationMs, joinTime } from '../../time.ts';
import { advisePinned, adviseUnpinned } from '../consumer-advisories.ts';
import type { Consumer } from './consumer.ts';
import type { WaitingRequest } from './waiting-queue.ts';

const ID_CHARACTERS = 22;
const DEFAULT_TIMEOUT_MS = 120_000;

export class Pinning {
  readonly #consumer: Consumer;
  /** Empty: nobody is pinned. */
  id = '';
  /** Since when, Unix nanoseconds; 0n: nobody is. */
  sinceNs = 0n;
  /** When the pin is lost unless its holder asks again. Unix milliseconds. */
  dueMs = Infinity;

  constructor(consumer: Consumer) {
    this.#consumer = consumer;
  }

  #group(): string {
    return this.#consumer.config.priorityGroups[0] ?? '';
  }

  /** A request names a pin. @returns false when another one is held */
  renew(id: string): boolean {
    if (this.id === '') return true;
    if (this.id !== id) return false;
    this.#restart();
    return true;
  }

  /** Whether a request may be served: it holds the pin, or gets it. Null: it names one that is over. */
  admits(request: WaitingRequest): boolean | null {
    if (this.id === '') {
      if (request.pinId !== '') return null;
      this.#pin(request);
      return true;
    }
    if (request.pinId === this.id) return true;
    return request.pinId === '' ? false : null;
  }

  #pin(request: WaitingRequest): void {
    const { engine } = this.#consumer;
    this.id = randomId(ID_CHARACTERS, engine.random);
    request.pinId = this.id;
    this.sinceNs = joinTime(engine.clock.ms, engine.clock.nanos);
    this.#restart();
    advisePinned(this.#consumer, this.#group(), this.id);
  }

  #restart(): void {
    const { config, engine } = this.#consumer;
    const timeoutMs = durationMs(config.priorityTimeoutNs);
    this.dueMs = engine.clock.ms + (timeoutMs > 0 ? timeoutMs : DEFAULT_TIMEOUT_MS);
    this.#consumer.arm(this.dueMs);
  }

  /** @returns whether the pin was lost */
  expire(nowMs: number): boolean {
    if (this.dueMs > nowMs) return false;
    const held = this.id !== '';
    this.release();
    if (held) adviseUnpinned(this.#consumer, this.#group(), 'timeout');
    return true;
  }

  /** Nobody is pinned from now on. */
  release(): void {
    this.dueMs = Infinity;
    this.id = '';
    this.sinceNs = 0n;
  }
}
