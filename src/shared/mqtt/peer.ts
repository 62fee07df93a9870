import type { Outbox } from '../base/outbox.ts';
import type { Route } from '../broker/route.ts';
import type { Subscription } from '../broker/subscription.ts';
import type { Will } from '../protocol/mqtt/connect.ts';
import type { ProtocolLevel } from '../protocol/mqtt/packet-types.ts';
import type { MailMessage } from './mail.ts';

/** State of one MQTT connection on its shard, apart from what every connection has. No handles, no behaviour of its own. */

/** What a subscription of the client wants; the attachment of its broker subscriptions. */
export interface TopicSubscription {
  readonly peer: MqttPeer;
  /** The filter as the client wrote it, one character a byte: the key among the client's subscriptions. */
  readonly filter: string;
  qos: number;
  /** What `qos` will be when the engine knows of the change. */
  grantedQos: number;
  noLocal: boolean;
  retainAsPublished: boolean;
  /** 0: none. */
  subscriptionId: number;
  /** Topics that begin with `$` are left out. */
  readonly skipsDollar: boolean;
  readonly isShared: boolean;
  /** On the filter's subject, and on its parent's where it ends in `#`. */
  readonly subscriptions: Subscription[];
}

/** A QoS 1 or 2 PUBLISH on its way to a client whose session ends with the connection. */
export interface InflightPublish {
  readonly qos: number;
  /** PUBREC came, PUBCOMP is awaited. */
  released: boolean;
  /** When it, or its PUBREL, was sent last. Unix milliseconds. */
  sentMs: number;
  /** To be sent again after `ack_wait`; null when it isn't. */
  packet: Uint8Array | null;
}

/** A PUBLISH that waits for room in the window: everything but its packet identifier. */
export interface WaitingPublish {
  readonly qos: number;
  readonly packet: Uint8Array;
  /** Where the two bytes of the packet identifier stand. */
  readonly packetIdAt: number;
}

/** Where the peer is told that the client takes its messages too slowly. */
export interface PeerHost {
  readonly outbox: Outbox;
  /** The bound on what waits for a client was reached. */
  overflow(): void;
  /** Something was sent that the client has to acknowledge within `ackWaitMs`. */
  awaitAck(): void;
  /** The engine is to keep a message for the client's session, and to deliver it. The message's bytes are good until the return. */
  keep(message: MailMessage, qos: number, retain: boolean, subscriptionId: number): void;
}

export class MqttPeer {
  /** 0 until CONNECT was accepted. */
  level: ProtocolLevel | 0 = 0;
  maxPacketBytes: number;
  readonly host: PeerHost;
  clientId = '';
  /** The engine has the session: it outlives the connection. */
  persistent = false;
  /** CONNECT was sent to the engine and isn't answered. */
  connecting = false;
  /** CONNACK was sent. */
  connected = false;
  /** '' when the client named itself. */
  assignedClientId = '';
  /** The session is kept for less than the client wished. */
  sessionExpiryCapped = false;
  sessionExpirySeconds = 0;
  keepAliveMs = 0;
  /** When anything came from the client. Unix milliseconds. */
  lastInputMs = 0;
  will: Will | null = null;
  requestProblemInformation = true;
  /** Largest packet the client takes; 0 is any. */
  clientMaxPacketBytes = 0;
  /** QoS 1 and 2 PUBLISHes that may be on their way to the client; of a persistent session the engine counts them. */
  sendWindow = 0;
  topicAliasMaximum = 0;
  authMethod: string | null = null;
  /** Aliases that the client set: topics by alias. */
  incomingAliases: Map<number, Uint8Array> | null = null;
  /** Aliases set for the client: alias by subject. */
  outgoingAliases: Map<string, number> | null = null;
  topics: Map<string, TopicSubscription> | null = null;
  /** By packet identifier of a SUBSCRIBE: the subscriptions that the engine takes over with it. */
  taken: Map<number, TopicSubscription[]> | null = null;
  /** Deliveries of a session that ends with the connection. */
  inflight: Map<number, InflightPublish> | null = null;
  /** What isn't acknowledged for so long is sent again; 0: never, as the engine sees to it or the version forbids it. */
  ackWaitMs = 0;
  /** Of packets in `inflight`. */
  inflightBytes = 0;
  waiting: WaitingPublish[] | null = null;
  waitingBytes = 0;
  nextPacketId = 1;
  nextSid = 1;
  /** Packet identifiers of QoS 2 PUBLISHes from the client that aren't released, and whether PUBREC was sent. */
  received: Map<number, boolean> | null = null;
  /** QoS 1 and 2 PUBLISHes of the client that the engine hasn't answered. */
  unanswered = 0;
  /** Its parsing was paused for too many of them. */
  awaitsAnswers = false;
  // The topic of the last PUBLISH, for the next one is often on the same
  lastTopic: Uint8Array = new Uint8Array(0);
  lastSubject: Uint8Array = new Uint8Array(0);
  lastSubjectHash = 0;
  lastRoute: Route | null = null;
  /** Nothing more is to be said to the client: it left, or was told why it has to. */
  farewellSaid = false;

  constructor(host: PeerHost, maxPacketBytes: number) {
    this.host = host;
    this.maxPacketBytes = maxPacketBytes;
  }
}
