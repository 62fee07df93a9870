import { hashLatin1, latin1Bytes } from '../../shared/base/latin1.ts';
import type { Account } from '../../shared/broker/account.ts';
import type { Router } from '../../shared/broker/router.ts';
import type { MailMessage } from '../../shared/mqtt/mail.ts';
import { PublicationFrame } from '../../shared/mqtt/publication.ts';

/** Messages that the MQTT engine has for members of a queue group whose sessions it doesn't keep. */
export class GroupSender {
  readonly #router: Router;
  readonly #frames = new PublicationFrame();

  constructor(router: Router) {
    this.#router = router;
  }

  /** Hands a message to a thread that has such members. @returns false when there are none */
  send(account: Account, share: string, { subject, reply, headers, payload }: MailMessage): boolean {
    const route = account.routeOf(subject);
    const group = route.groups.find(({ name }) => name === share);
    const others = group?.ordinary ?? group;
    if (others === undefined || others.threads.length === 0) return false;
    const bytes = latin1Bytes(subject);
    const hash = hashLatin1(subject);
    const frame = this.#frames.build(bytes, hash, reply, headers, payload, 0, payload.length);
    frame.passesKept = true;
    this.#router.deliverFromThread(account, route, frame, false, [others.nameBytes], 0);
    return true;
  }
}
