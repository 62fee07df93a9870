/** Advisories (jetstream-api §9): what the engine tells about itself, to whoever listens in the account. */
import { wireText } from '../subject/wire-text.ts';
import type { AccountJetStream } from './account-jetstream.ts';
import { EMPTY_BYTES, textBytes } from './effects.ts';
import type { JetStream } from './jetstream.ts';
import { JsonObject } from './json-object.ts';
import { randomId } from './names.ts';
import { joinTime } from './time.ts';

const ID_CHARACTERS = 22;

/**
 * Publishes an advisory when somebody listens.
 *
 * @param subject behind `$JS.EVENT.ADVISORY.`
 * @param type behind `io.nats.jetstream.advisory.v1.`
 * @param add adds the fields that are its own
 */
export function sendAdvisory(
  account: AccountJetStream,
  subject: string,
  type: string,
  add: (json: JsonObject) => JsonObject,
): void {
  send(account.engine, account.name, subject, type, add);
}

/** Publishes an advisory about the whole server: in the system account. */
export function sendServerAdvisory(
  engine: JetStream,
  subject: string,
  type: string,
  add: (json: JsonObject) => JsonObject,
): void {
  if (engine.options.systemAccount !== '') send(engine, engine.options.systemAccount, subject, type, add);
}

function send(
  engine: JetStream,
  account: string,
  subject: string,
  type: string,
  add: (json: JsonObject) => JsonObject,
): void {
  const full = `$JS.EVENT.ADVISORY.${wireText(subject)}`;
  if (!engine.effects.hasInterest(account, full)) return;
  const json = new JsonObject()
    .string('type', `io.nats.jetstream.advisory.v1.${type}`)
    .string('id', randomId(ID_CHARACTERS, engine.random))
    .time('timestamp', joinTime(engine.clock.ms, engine.clock.nanos));
  const ticket = engine.store.ticket;
  engine.effects.send(account, full, '', EMPTY_BYTES, textBytes(add(json).end()), ticket);
}
