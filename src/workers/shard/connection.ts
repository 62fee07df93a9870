import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { PermissionSet } from '../../shared/auth/permissions.ts';
import type { ResponseTracker } from '../../shared/auth/response-tracker.ts';
import type { ConnectionType } from '../../shared/base/options.ts';
import { Outbox, type OutputPart } from '../../shared/base/outbox.ts';
import type { Account } from '../../shared/broker/account.ts';
import type { DeliveryEncoder, Subscriber, Subscription } from '../../shared/broker/subscription.ts';
import type { ConnectionTransport } from '../../shared/mail/monitor.ts';
import type { MqttPeer } from '../../shared/mqtt/peer.ts';
import { type ConnectOptions, DEFAULT_CONNECT_OPTIONS } from '../../shared/protocol/nats/connect-options.ts';
import type { CloseReason } from '../../shared/protocol/nats/errors.ts';
import type { LineMemo } from '../../shared/protocol/nats/line-memo.ts';
import type { ParserClient } from '../../shared/protocol/nats/parser.ts';
import type { HandedConnection } from './contract.ts';
import type { PayloadBuffer } from './payload-buffers.ts';
import type { Shard } from './shard.ts';
import type { UwsStream } from './websocket/uws-stream.ts';
import type { WebsocketState } from './websocket/websocket-state.ts';

/** How far the connection has come. Bytes mean something else in each stage. */
export const STAGE_PROXY = 0;
export const STAGE_TLS_PEEK = 1;
export const STAGE_TLS_HANDSHAKE = 2;
export const STAGE_PROTOCOL = 3;

/** What log lines call the number of a connection. */
const CID_NAMES: Readonly<Record<ConnectionType, string>> = {
  STANDARD: 'cid',
  IN_PROCESS: 'cid',
  WEBSOCKET: 'wid',
  MQTT: 'mid',
  MQTT_WS: 'mid_ws',
  LEAFNODE: 'lid',
  LEAFNODE_WS: 'lid_ws',
};

/** Bytes that wait for the parser: an unfinished operation, or everything behind one that was put off. */
export interface HeldBytes {
  bytes: Uint8Array;
  view: DataView;
  start: number;
  end: number;
  payload: PayloadBuffer | null;
}

/**
 * State of one client connection. Behaviour is elsewhere (protocol: client-session.ts, input: input.ts, output: output.ts),
 * because an idle connection should cost little: fields only, no closures, no buffers.
 */
export class ClientConnection implements Subscriber, ParserClient {
  readonly shard: Shard;
  readonly cid: number;
  readonly startedAtMs: number;
  remoteAddress: string;
  remotePort: number;
  stream: Socket | TLSSocket | UwsStream;
  readonly outbox: Outbox;
  stage = STAGE_PROTOCOL;
  /** How it came in, for `allowed_connection_types` and whatever else differs. */
  type: ConnectionType = 'STANDARD';
  /** `null`: the stream's bytes are the protocol's. */
  websocket: WebsocketState | null = null;
  /** The same, where frames are made here and not by the transport. */
  framing: WebsocketState | null = null;
  /** Set for connections that speak MQTT. */
  mqtt: MqttPeer | null = null;
  encoder: DeliveryEncoder | null = null;
  // Parser
  memo: LineMemo | null = null;
  lastSubjectHash = 0;
  lastPayloadBytes = 0;
  maxPayloadBytes: number;
  maxControlLineBytes: number;
  skippingOp = 0;
  /** Nothing but CONNECT is taken: it has to authenticate first. */
  gated = true;
  closed = false;
  /** Only here to be told that there is no room: it counts as accepted, but never as open. */
  refused = false;
  // Session
  account: Account;
  permissions: PermissionSet | null = null;
  responses: ResponseTracker | null = null;
  connect: Readonly<ConnectOptions> = DEFAULT_CONNECT_OPTIONS;
  connectReceived = false;
  /** The account counts this connection (limits, statistics). */
  registered = false;
  /** Verbose, pedantic, traced or mapped: every message takes the general path. */
  plainPublish = true;
  verbose = true;
  pedantic = true;
  echo = true;
  headers = false;
  observesDeliveries = false;
  /** What the user is called in logs and /connz: user name, `[REDACTED]` for a token, else ''. */
  userLabel = '';
  /** The bcrypt hash that the password was compared with, to notice a change on reload. */
  passwordHash = '';
  authenticatedUser = '';
  subscriptions: Map<string, Subscription> | null = null;
  firstPongSent = false;
  tlsFirst = false;
  nonce = '';
  // Keep-alive
  timer: NodeJS.Timeout | null = null;
  pingsOut = 0;
  pingSentAtMs = 0;
  rttMs = 0;
  rttAtMs = 0;
  /** CONNECT, a message in either direction, SUB or UNSUB; PING and PONG are none. monitoring-system §3.2 */
  lastActivityMs: number;
  /** A message, SUB, UNSUB or PING from the client: no PING need be sent to it. */
  lastInputMs = 0;
  // Input
  held: HeldBytes | null = null;
  filling: PayloadBuffer | null = null;
  /** The buffer the next read goes to: `filling` as it was when the read was prepared, or null for the shared region. */
  readTarget: PayloadBuffer | null = null;
  filledBytes = 0;
  fillTargetBytes = 0;
  /** Not parsing: waiting for a ring, a bcrypt result or interest to be written. */
  blocked = false;
  /** Not reading: blocked, or stalled as a fast producer. */
  paused = false;
  stallRequested = false;
  /** Its bytes arrive in chunks that are copied into the read region (TLS, or after a look at the first bytes). */
  copies = false;
  /** The publish about to be parsed was put off before: what precedes delivery isn't done twice. */
  resumedBlocked = false;
  // Output
  /** TLS reports the end of a write to a callback alone; a plain socket is made to emit `drain` after each. */
  encrypted = false;
  writing = false;
  writingBytes = 0;
  writingParts: OutputPart[] | null = null;
  writeStartedAtMs = 0;
  /** What the kernel had taken before the write under way, or before its last retry. */
  takenAtStart = 0;
  slow = false;
  closeReason: CloseReason | null = null;
  // Statistics
  inMsgs = 0;
  inBytes = 0;
  outMsgs = 0;
  outBytes = 0;
  stalls = 0;
  /** What the shard's totals include already. */
  reportedOutMsgs = 0;
  reportedOutBytes = 0;

  constructor(shard: Shard, cid: number, stream: Socket | UwsStream, account: Account, nowMs: number) {
    this.shard = shard;
    this.cid = cid;
    this.stream = stream;
    this.startedAtMs = nowMs;
    this.lastActivityMs = nowMs;
    this.remoteAddress = '';
    this.remotePort = 0;
    this.account = account;
    this.outbox = new Outbox(shard.chunks, this);
    this.maxPayloadBytes = shard.options.maxPayloadBytes;
    this.maxControlLineBytes = shard.options.maxControlLineBytes;
  }

  /** The client sent a message, SUB or UNSUB. */
  noteInput(nowMs: number): void {
    this.lastActivityMs = nowMs;
    this.lastInputMs = nowMs;
  }

  get deliveryFilter(): string {
    const { permissions } = this;
    if (permissions?.hasDeliveryFilter !== true) return '';
    // ASCII only: it travels as latin1.
    return JSON.stringify(permissions.permissions.subscribe?.deny ?? []).replace(
      /[\u0080-\uffff]/g,
      (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
    );
  }

  deniesDelivery(subject: string, queue: string | null): boolean {
    return this.permissions?.hasDeliveryFilter === true && this.permissions.deniesDelivery(subject, queue);
  }

  deniesSome(pattern: string): boolean {
    return this.permissions?.deniesSome(pattern) === true;
  }

  outboxDirty(): void {
    this.shard.markDirty(this);
  }

  outboxFilled(): void {
    this.shard.output.filled(this);
  }

  /** Bytes queued for the client that the kernel hasn't taken. */
  get pendingBytes(): number {
    return this.outbox.pendingBytes + this.writingBytes;
  }

  get subscriptionCount(): number {
    return this.subscriptions?.size ?? 0;
  }

  /** Which listener it came to. */
  get listener(): HandedConnection['listener'] {
    if (this.websocket !== null) return 'websocket';
    return this.mqtt === null ? 'client' : 'mqtt';
  }

  /** What it speaks, as monitoring calls it: MQTT is that in a WebSocket too. */
  get transport(): ConnectionTransport {
    if (this.mqtt !== null) return 'mqtt';
    return this.websocket === null ? 'nats' : 'websocket';
  }

  /** Identity in log lines (client-protocol.md §18). */
  get label(): string {
    const { lang, version, name } = this.connect;
    const address = this.remoteAddress.includes(':') ? `[${this.remoteAddress}]` : this.remoteAddress;
    const { websocket, mqtt } = this;
    const id = `${websocket?.via ?? ''}${address}:${this.remotePort} - ${CID_NAMES[this.type]}:${this.cid}`;
    if (mqtt !== null) return mqtt.clientId === '' ? id : `${id} - ${JSON.stringify(mqtt.clientId)}`;
    if (!this.connectReceived || (lang === '' && version === '' && name === '')) return id;
    const who = `${id} - "v${version}:${lang}:${name}"`;
    return this.userLabel === '' ? who : `${who} - "${this.account.name}/${this.userLabel}"`;
  }
}
