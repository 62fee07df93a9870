import type { Account } from '../../shared/broker/account.ts';
import type { DirectAnswers, StreamDirectAnswers } from '../../shared/jetstream/effects.ts';
import { DirectAnswerWriter, DirectStream } from '../../shared/mail/direct-answers.ts';

/** Answers to direct gets in the memory that shards read: those that are durable. */
export class SharedAnswers implements DirectAnswers {
  readonly #writer: DirectAnswerWriter;
  readonly #accounts: ReadonlyMap<string, Account>;
  readonly #isKept: () => boolean;

  /** @param isKept whether everything that was stored is durable: what isn't must not be read before its publisher knows */
  constructor(memory: SharedArrayBuffer, accounts: ReadonlyMap<string, Account>, isKept: () => boolean) {
    this.#writer = new DirectAnswerWriter(memory);
    this.#accounts = accounts;
    this.#isKept = isKept;
  }

  of(account: string, stream: string): StreamDirectAnswers {
    const writer = this.#writer;
    const isKept = this.#isKept;
    const key = new DirectStream(this.#accounts.get(account)!.index, stream);
    return {
      put: (bytes, start, end, headers, payload) => {
        if (isKept()) writer.put(key, bytes, start, end, headers, payload);
      },
      changed: (bytes, start, end) => writer.drop(key, bytes, start, end),
      cleared: () => writer.clear(),
    };
  }
}
