/** Advisories (jetstream-api §9): what the engine tells about itself, to whoever listens in the account. */
import { wireText } from '../subject/wire-text.ts';
import type { AccountJetStream } from './account-jetstream.ts';
import { EMPTY_BYTES, NO_TICKET, textBytes } from './effects.ts';
import type { JetStream } from './jetstream.ts';
import { JsonObject } from './json-object.ts';
import { randomId } from './names.ts';
import { joinTime } from './time.ts';

const ID_CHARACTERS = 22;

type Fields = (json: JsonObject) => JsonObject;

/**
 * Publishes an advisory when somebody listens.
 *
 * @param subject behind `$JS.EVENT.ADVISORY.`
 * @param type behind `io.nats.jetstream.advisory.v1.`
 * @param add adds the fields that are its own
 */
export function sendAdvisory(account: AccountJetStream, subject: string, type: string, add: Fields): void {
  const { ticket } = account.engine.store;
  sendEvent(account, `ADVISORY.${subject}`, `advisory.v1.${type}`, add, ticket);
}

/**
 * Publishes a metric when somebody listens; it promises nothing, so it waits for no sync.
 *
 * @param subject behind `$JS.EVENT.METRIC.`
 * @param type behind `io.nats.jetstream.metric.v1.`
 * @param add adds the fields that are its own
 */
export function sendMetric(account: AccountJetStream, subject: string, type: string, add: Fields): void {
  sendEvent(account, `METRIC.${subject}`, `metric.v1.${type}`, add, NO_TICKET);
}

function sendEvent(
  account: AccountJetStream,
  subject: string,
  type: string,
  add: Fields,
  ticket: number,
): void {
  send(account.engine, account.name, subject, type, add, ticket);
}

/** Publishes an advisory about the whole server: in the system account. */
export function sendServerAdvisory(engine: JetStream, subject: string, type: string, add: Fields): void {
  const { systemAccount } = engine.options;
  if (systemAccount !== '')
    send(engine, systemAccount, `ADVISORY.${subject}`, `advisory.v1.${type}`, add, engine.store.ticket);
}

function send(
  engine: JetStream,
  account: string,
  subject: string,
  type: string,
  add: Fields,
  ticket: number,
): void {
  const full = `$JS.EVENT.${wireText(subject)}`;
  if (!engine.effects.hasInterest(account, full)) return;
  const json = new JsonObject()
    .string('type', `io.nats.jetstream.${type}`)
    .string('id', randomId(ID_CHARACTERS, engine.random))
    .time('timestamp', joinTime(engine.clock.ms, engine.clock.nanos));
  engine.effects.send(account, full, '', EMPTY_BYTES, textBytes(add(json).end()), ticket);
}
