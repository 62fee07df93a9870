import type { ThreadLinks } from '../../shared/broker/thread-links.ts';
import type { JetStream } from '../../shared/jetstream/jetstream.ts';
import type { EngineEffects } from './engine-effects.ts';
import { Linger } from './linger.ts';

/** Before the commit a consumer delivers so many, and so many turns are given, so that its begin isn't put off for long. */
const EARLY_MSGS = 32;
const EARLY_PORTIONS = 8;
/** For so long after such deliveries the next ones count as likely. */
const LIKELY_MS = 1000;

/** Deliveries that don't wait for the commit (`Consumer.isEarly`), and what is done for them while they are likely. */
export class EarlyDeliveries {
  readonly #engine: JetStream;
  readonly #links: ThreadLinks;
  readonly #effects: EngineEffects;
  readonly #linger = new Linger();
  #likelyUntilMs = 0;

  constructor(engine: JetStream, links: ThreadLinks, effects: EngineEffects) {
    this.#engine = engine;
    this.#links = links;
    this.#effects = effects;
    effects.sharesRings = () => engine.hasEarly || this.#areLikely();
  }

  #areLikely(): boolean {
    return this.#engine.clock.ms < this.#likelyUntilMs;
  }

  /**
   * What consumers may deliver before the commit is shown before it begins; what is committed needs no turn of its own.
   *
   * @param keptTicket up to where that is so
   */
  deliver(keptTicket: number): void {
    const engine = this.#engine;
    if (!engine.hasEarly || this.#effects.isBlocked || engine.appendedTicket <= keptTicket) return;
    this.#likelyUntilMs = engine.clock.ms + LIKELY_MS;
    engine.runReady(EARLY_PORTIONS, false, EARLY_MSGS);
    this.#links.publish();
  }

  /** Looks out for the next message before this thread sleeps. @returns whether something arrived */
  linger(): boolean {
    return this.#areLikely() && this.#linger.until(this.#hasArrived);
  }

  readonly #hasArrived = (): boolean => !this.#links.isEmpty();
}
