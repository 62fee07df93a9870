/**
 * Pull requests nobody takes. Streams listen to those for their consumers; the rest is heard only because the engine listens
 * to the whole API, and is told what a client would be told if it did not: nobody responds (jetstream-api §1.1).
 */
import { noRespondersHeader } from '../../protocol/nats/headers.ts';
import { textOfWire, wireText } from '../../subject/wire-text.ts';
import type { ApiRequest } from '../api.ts';
import { EMPTY_BYTES, NO_TICKET } from '../effects.ts';
import type { JetStream } from '../jetstream.ts';

const ENDPOINT = 'API.CONSUMER.MSG.NEXT.';

/** What follows the endpoint's tokens, in our domain or without one; null when the subject is none of a pull request. */
function namesOf(engine: JetStream, subject: string): string[] | null {
  const { domain } = engine.options;
  for (const prefix of ['$JS.', `$JS.${wireText(domain)}.`]) {
    if (subject.startsWith(prefix + ENDPOINT))
      return subject.slice(prefix.length + ENDPOINT.length).split('.');
  }
  return null;
}

/** Answers a pull request no stream listens to; everything else is left alone. */
export function answerLostPull(engine: JetStream, request: ApiRequest): void {
  const { account, subject, reply } = request;
  const names = reply === '' ? null : namesOf(engine, subject);
  if (names === null) return;
  const stream = engine.account(account)?.streams.get(textOfWire(names[0] ?? ''));
  if (names.length === 2 && stream?.consumers.listens === true) return;
  engine.effects.send(account, reply, '', noRespondersHeader(subject), EMPTY_BYTES, NO_TICKET);
}
