import { PARSE_BLOCKED, PARSE_MORE, PARSE_PAUSED } from '../../../shared/base/parse-outcome.ts';
import type { Account } from '../../../shared/broker/account.ts';
import { Subscription } from '../../../shared/broker/subscription.ts';
import { MAIL_SUBSCRIBE, MAIL_UNSUBSCRIBE, MailWriter } from '../../../shared/mqtt/mail.ts';
import type { MqttPeer, TopicSubscription } from '../../../shared/mqtt/peer.ts';
import type { FilterOptions } from '../../../shared/mqtt/session-filter.ts';
import { MQTT_5 } from '../../../shared/protocol/mqtt/packet-types.ts';
import { REASON, SUBACK_FAILURE } from '../../../shared/protocol/mqtt/reason-codes.ts';
import {
  type FilterRequest,
  RETAIN_DONT_SEND,
  RETAIN_SEND_IF_NEW,
  type SubscribePacket,
  type UnsubscribePacket,
} from '../../../shared/protocol/mqtt/subscribe.ts';
import { parseFilter } from '../../../shared/protocol/mqtt/topic-filter.ts';
import { ERR } from '../../../shared/protocol/nats/errors.ts';
import type { ClientConnection } from '../connection.ts';
import type { Shard } from '../shard.ts';
import { subscriptionRefusal } from '../subscribe-checks.ts';
import type { EngineMail } from './engine-mail.ts';

/**
 * SUBSCRIBE and UNSUBSCRIBE (mqtt.md §8). A filter is a plain subscription of the account, or a member of a queue group
 * where it is shared; one that ends in `#` has a second one on its parent. The engine keeps it for sessions that outlive the
 * connection, and has the retained messages: it is asked before SUBACK.
 */
export class MqttSubscriptions {
  readonly #shard: Shard;
  readonly #mail: EngineMail;
  readonly #record = new MailWriter();

  constructor(shard: Shard, mail: EngineMail) {
    this.#shard = shard;
    this.#mail = mail;
  }

  subscribe(connection: ClientConnection, packet: SubscribePacket): number {
    if (this.#mail.isBlocked) return PARSE_BLOCKED;
    const peer = connection.mqtt!;
    const codes: number[] = [];
    const granted: { options: FilterOptions; wantsRetained: boolean }[] = [];
    for (const request of packet.filters) {
      const options = this.#options(peer, request, packet.subscriptionId);
      const isNew = peer.topics?.has(filterKey(request.filter)) !== true;
      const refusal =
        options === null ? REASON.topicFilterInvalid : this.add(connection, options, packet.packetId);
      if (refusal !== 0) {
        codes.push(peer.level === MQTT_5 ? refusal : SUBACK_FAILURE);
        continue;
      }
      codes.push(options!.qos);
      const wantsRetained =
        options!.share === null &&
        request.retainHandling !== RETAIN_DONT_SEND &&
        (request.retainHandling !== RETAIN_SEND_IF_NEW || isNew);
      granted.push({ options: options!, wantsRetained });
    }
    const record = this.#record.begin(MAIL_SUBSCRIBE, connection.cid).u32(packet.packetId);
    record.bytes(Uint8Array.from(codes));
    for (const { options, wantsRetained } of granted) record.u8(wantsRetained ? 1 : 0).filter(options);
    this.#mail.send(record);
    return this.#shard.waitsForRings ? PARSE_PAUSED : PARSE_MORE;
  }

  #options(peer: MqttPeer, request: FilterRequest, subscriptionId: number): FilterOptions | null {
    const parsed = parseFilter(request.filter, peer.level === MQTT_5);
    if (parsed === null) return null;
    let { qos } = request;
    if (qos === 2 && this.#shard.options.mqtt!.downgradeQos2Subscribe) qos = 1;
    return {
      filter: filterKey(request.filter),
      ...parsed,
      qos,
      noLocal: request.noLocal,
      retainAsPublished: request.retainAsPublished,
      subscriptionId,
    };
  }

  /**
   * Makes or changes a subscription.
   *
   * @param packetId of the SUBSCRIBE; 0: the engine knows the subscription
   * @returns a reason code, 0 when all is well
   */
  add(connection: ClientConnection, options: FilterOptions, packetId = 0): number {
    const peer = connection.mqtt!;
    peer.topics ??= new Map();
    const existing = peer.topics.get(options.filter);
    if (existing !== undefined) {
      this.#setQos(connection, existing, options.qos, packetId);
      existing.noLocal = options.noLocal;
      existing.retainAsPublished = options.retainAsPublished;
      existing.subscriptionId = options.subscriptionId;
      return 0;
    }
    const subjects =
      options.parentSubject === null ? [options.subject] : [options.subject, options.parentSubject];
    for (const subject of subjects) {
      const refusal = subscriptionRefusal(connection, this.#shard, subject, options.share);
      if (refusal === '') continue;
      this.#shard.log('error', `${connection.label} - Subscription Violation - Subject "${subject}"`);
      return refusal === ERR.maximumSubscriptionsExceeded ? REASON.quotaExceeded : REASON.notAuthorized;
    }
    const topic: TopicSubscription = {
      peer,
      filter: options.filter,
      qos: options.qos,
      grantedQos: options.qos,
      noLocal: options.noLocal,
      retainAsPublished: options.retainAsPublished,
      subscriptionId: options.subscriptionId,
      skipsDollar: options.skipsDollar,
      isShared: options.share !== null,
      subscriptions: [],
    };
    if (!this.#listen(connection, topic, subjects, options.share)) return REASON.topicFilterInvalid;
    peer.topics.set(options.filter, topic);
    if (packetId > 0 && topic.isShared && peer.persistent) noteTaken(topic, packetId);
    else this.#setKept(connection.account, topic);
    return 0;
  }

  /** The engine has a SUBSCRIBE: what it is to deliver from now on is left to it. */
  taken({ account, mqtt }: ClientConnection, packetId: number): void {
    const taken = mqtt!.taken?.get(packetId);
    if (taken === undefined) return;
    mqtt!.taken!.delete(packetId);
    for (const topic of taken) {
      topic.qos = topic.grantedQos;
      this.#setKept(account, topic);
    }
  }

  /** The engine picks among members of shared subscriptions whose messages it keeps: all threads are told which those are. */
  #setKept(account: Account, { peer, isShared, qos, subscriptions }: TopicSubscription): void {
    if (!isShared) return;
    for (const subscription of subscriptions) account.setKept(subscription, peer.persistent && qos > 0);
  }

  /**
   * Changes the QoS of a subscription. [MQTT-3.8.4-4]: of a session that is kept QoS 0 is delivered here and anything else by
   * the engine, so until the engine knows it goes on here. A message may come twice, but none is lost between them.
   */
  #setQos(connection: ClientConnection, topic: TopicSubscription, qos: number, packetId: number): void {
    const isHandedOver = topic.peer.persistent && topic.qos === 0 && qos > 0;
    topic.grantedQos = qos;
    if (isHandedOver) {
      noteTaken(topic, packetId);
      return;
    }
    topic.qos = qos;
    if (qos === 0) this.#setKept(connection.account, topic);
  }

  #listen(
    connection: ClientConnection,
    topic: TopicSubscription,
    subjects: readonly string[],
    share: string | null,
  ): boolean {
    connection.subscriptions ??= new Map();
    for (const subject of subjects) {
      // A filter and the parent of another may be one subject: each is a subscription of its own.
      const sid = `${subject} ${connection.mqtt!.nextSid++}`;
      const subscription = new Subscription(connection, subject, share, sid);
      subscription.attachment = topic;
      if (!connection.account.subscribe(subscription)) {
        this.#end(connection, topic);
        return false;
      }
      topic.subscriptions.push(subscription);
      connection.subscriptions.set(sid, subscription);
      this.#shard.countSubscriptions(1);
    }
    return true;
  }

  #end(connection: ClientConnection, topic: TopicSubscription): void {
    for (const subscription of topic.subscriptions)
      this.#shard.session.removeSubscription(connection, subscription);
  }

  unsubscribe(connection: ClientConnection, packet: UnsubscribePacket): number {
    if (this.#mail.isBlocked) return PARSE_BLOCKED;
    const { topics } = connection.mqtt!;
    const codes: number[] = [];
    const record = this.#record.begin(MAIL_UNSUBSCRIBE, connection.cid).u32(packet.packetId);
    const ended: string[] = [];
    for (const filter of packet.filters) {
      const key = filterKey(filter);
      const topic = topics?.get(key);
      codes.push(topic === undefined ? REASON.noSubscriptionExisted : REASON.success);
      if (topic === undefined) continue;
      this.#end(connection, topic);
      topics!.delete(key);
      ended.push(key);
    }
    record.bytes(Uint8Array.from(codes));
    for (const key of ended) record.text(key);
    this.#mail.send(record);
    return PARSE_MORE;
  }

  /** After a change of permissions: subscriptions that are not allowed any more end; 3.1.1 and 5.0 can't say so. */
  dropForbidden(connection: ClientConnection): void {
    const { permissions, mqtt } = connection;
    if (permissions === null || mqtt?.topics == null) return;
    const record = this.#record.begin(MAIL_UNSUBSCRIBE, connection.cid).u32(0).bytes(new Uint8Array(0));
    for (const [key, topic] of [...mqtt.topics]) {
      if (topic.subscriptions.every(({ subject, queue }) => permissions.canSubscribe(subject, queue)))
        continue;
      this.#end(connection, topic);
      mqtt.topics.delete(key);
      record.text(key);
    }
    this.#mail.send(record);
  }
}

/** Notes that the engine takes over a subscription with the SUBSCRIBE of this identifier. */
function noteTaken(topic: TopicSubscription, packetId: number): void {
  const { peer } = topic;
  peer.taken ??= new Map();
  const taken = peer.taken.get(packetId);
  if (taken === undefined) peer.taken.set(packetId, [topic]);
  else taken.push(topic);
}

function filterKey(filter: Uint8Array): string {
  return Buffer.from(filter).toString('latin1');
}
