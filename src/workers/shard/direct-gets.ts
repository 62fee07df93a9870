import { hashBytes } from '../../shared/base/latin1.ts';
import type { MessageFrame } from '../../shared/base/message-frame.ts';
import type { Account } from '../../shared/broker/account.ts';
import type { Route } from '../../shared/broker/route.ts';
import type { Router } from '../../shared/broker/router.ts';
import { DIRECT_GET_PREFIX, DirectAnswerReader } from '../../shared/mail/direct-answers.ts';

/** The queue group that streams answer direct gets in (jetstream-api §5). */
const STREAMS_GROUP = '_sys_';

/**
 * Gives answers that the persistence thread has given before (direct-answers.ts), where it alone would get the request: not when
 * somebody else listens to it.
 */
export class DirectGets {
  readonly #router: Router;
  readonly #reader: DirectAnswerReader | null;
  readonly #persistence: number;

  /** @param persistence number of the thread */
  constructor(router: Router, answers: SharedArrayBuffer | null, persistence: number) {
    this.#router = router;
    this.#reader = answers === null ? null : new DirectAnswerReader(answers);
    this.#persistence = persistence;
  }

  /**
   * @param route of the request, whose subject is the frame's
   * @returns 0: the request has to be sent; otherwise it is done with, or `BLOCKED`
   */
  answer(account: Account, route: Route, frame: MessageFrame): number {
    const reader = this.#reader;
    if (reader === null || frame.replyBytes === 0 || frame.payloadBytes > 0) return 0;
    if (!this.#isForStreamsAlone(route)) return 0;
    const { bytes, subjectStart, subjectEnd, tailStart } = frame;
    const key = subjectStart + DIRECT_GET_PREFIX.length;
    if (!reader.find(account.index, bytes, key, subjectEnd)) return 0;
    const answer = reader.frame;
    const end = tailStart + frame.replyBytes;
    const hash = hashBytes(bytes, tailStart, end);
    answer.subjectHash = hash;
    const replyRoute = account.route(hash, bytes, tailStart, end);
    // Between threads the subject and the tail lie in the same memory.
    if (replyRoute.hasThreads) return 0;
    const delivered = this.#router.publish(account, replyRoute, null, answer);
    return delivered < 0 ? delivered : 1;
  }

  #isForStreamsAlone({ plain, threads, groups }: Route): boolean {
    if (plain.length > 0 || groups.length !== 1) return false;
    const persistence = this.#persistence;
    const [group] = groups;
    if (group!.name !== STREAMS_GROUP || group!.locals.length > 0) return false;
    if (group!.threads.length !== 1 || group!.threads[0] !== persistence) return false;
    return threads.length === 0 || (threads.length === 1 && threads[0] === persistence);
  }
}
