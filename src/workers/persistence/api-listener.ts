import type { Account } from '../../shared/broker/account.ts';
import type { ApiRequest } from '../../shared/jetstream/api.ts';
import { type Effects, EMPTY_BYTES, type InboundMessage, NO_TICKET } from '../../shared/jetstream/effects.ts';
import { noRespondersHeader } from '../../shared/protocol/nats/headers.ts';
import { wireText } from '../../shared/subject/wire-text.ts';
import { EngineListener } from './engine-listener.ts';

/**
 * Interest in `$JS.API.>`, and in the same of the server's domain, for every account (jetstream-api §1.1, §7).
 *
 * Two kinds of request are no endpoint's: pull requests and direct gets go to the consumer or stream itself, which listens to a
 * subject of its own. Without it there is no responder, and the client is to be told so; but the interest in `$JS.API.>`
 * hides that from the client's shard. So this listener tells it, when it is the only one. Requests in the domain are
 * mapped onto the subjects without it, and only those nats-server maps.
 */
const PREFIX = '$JS.API.';
const IN_PLACE = /^(?:DIRECT\.|CONSUMER\.MSG\.NEXT\.)/;
const MAPPED = /^(?:INFO$|(?:STREAM|CONSUMER|DIRECT|META|SERVER|ACCOUNT)\.)/;
const MAPPED_STORES = /^\$(?:KV|OBJ)\./;

export class ApiListener {
  readonly #effects: Effects;
  readonly #domainPrefix: string;
  readonly #systemAccount: string;
  readonly #accept: (request: ApiRequest) => void;
  /** Who publishes the message being handed over, as JSON. */
  client = '';

  /**
   * @param domain of the server, empty for none
   * @param systemAccount empty for none; it is refused everything in words
   * @param accept takes requests of the API proper; their bytes are valid during the call
   */
  constructor(
    effects: Effects,
    domain: string,
    systemAccount: string,
    accept: (request: ApiRequest) => void,
  ) {
    this.#effects = effects;
    this.#domainPrefix = domain === '' ? '' : `$JS.${wireText(domain)}.API.`;
    this.#systemAccount = systemAccount;
    this.#accept = accept;
  }

  listen(account: Account): void {
    account.subscribe(new EngineListener(`${PREFIX}>`, null, (message) => this.#receive(account, message)));
    if (this.#domainPrefix === '') return;
    const receive = (message: InboundMessage) => this.#receiveMapped(account, message);
    account.subscribe(new EngineListener(`${this.#domainPrefix}>`, null, receive));
  }

  #receive(account: Account, message: InboundMessage): void {
    if (IN_PLACE.test(message.subject.slice(PREFIX.length))) {
      const { plain, groups, hasThreads } = account.routeOf(message.subject);
      if (account.name === this.#systemAccount) this.#request(account, message, message.subject);
      else if (plain.length === 1 && groups.length === 0 && !hasThreads) this.#noResponders(account, message);
    } else this.#request(account, message, message.subject);
  }

  #receiveMapped(account: Account, message: InboundMessage): void {
    const rest = message.subject.slice(this.#domainPrefix.length);
    if (MAPPED_STORES.test(rest)) this.#forward(account, message, rest);
    else if (IN_PLACE.test(rest)) this.#forward(account, message, PREFIX + rest);
    else if (MAPPED.test(rest)) this.#request(account, message, PREFIX + rest);
    else this.#noResponders(account, message);
  }

  #request(account: Account, message: InboundMessage, subject: string): void {
    this.#accept({
      account: account.name,
      subject,
      reply: message.reply,
      headers: message.headers(),
      body: message.payload(),
      client: this.client,
    });
  }

  /** The bytes are copied: what is sent leaves at the end of the turn. */
  #forward(account: Account, message: InboundMessage, subject: string): void {
    const headers = new Uint8Array(message.headers());
    const payload = new Uint8Array(message.payload());
    this.#effects.send(account.name, subject, message.reply, headers, payload, NO_TICKET);
  }

  #noResponders(account: Account, message: InboundMessage): void {
    const { reply, subject } = message;
    if (reply === '') return;
    this.#effects.send(account.name, reply, '', noRespondersHeader(subject), EMPTY_BYTES, NO_TICKET);
  }
}
