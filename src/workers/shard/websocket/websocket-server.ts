import type net from 'node:net';
import type tls from 'node:tls';
import type { TlsOptions } from '../../../shared/base/options.ts';
import { compileOriginRules } from '../../../shared/protocol/websocket/origin.ts';
import type { Upgrade, UpgradeRules, WebsocketProtocol } from '../../../shared/protocol/websocket/upgrade.ts';
import { createSecureContext } from '../admission.ts';
import { adoptSocket } from '../adopt-socket.ts';
import { ClientConnection } from '../connection.ts';
import { COUNTERS, type HandedConnection } from '../contract.ts';
import type { Shard } from '../shard.ts';
import { PendingUpgrade, type UpgradeHost } from './pending-upgrade.ts';
import type { StreamEngine } from './stream-engine.ts';
import { UwsServer } from './uws-server.ts';
import { WebsocketInput } from './websocket-input.ts';
import { cookieCredentials, WebsocketState } from './websocket-state.ts';

/**
 * WebSocket connections of this shard, from the accepted socket on (websocket.md §2, §3).
 *
 * Which protocol runs inside is decided by the path; `engines` has those that exist.
 */
const NO_TLS: UpgradeHost['tls'] = null;
const NO_RULES: UpgradeRules = {
  origins: { sameOrigin: false, allowed: [] },
  isTls: false,
  compression: false,
  hasMqtt: false,
};

export class WebsocketServer implements UpgradeHost {
  tls: { options: TlsOptions; context: tls.SecureContext } | null = NO_TLS;
  rules: UpgradeRules = NO_RULES;
  /** Protocols by path. */
  readonly engines = new Map<WebsocketProtocol, StreamEngine>();
  readonly input: WebsocketInput;
  /** The listener of uWebSockets.js, when that is what runs. */
  readonly native: UwsServer;
  readonly #shard: Shard;
  /** Of connections that aren't upgraded yet. */
  readonly #slots = new Map<PendingUpgrade, ReadSlot>();

  constructor(shard: Shard) {
    this.#shard = shard;
    this.input = new WebsocketInput(shard);
    this.native = new UwsServer(shard);
    const received: StreamEngine['received'] = (connection, bytes, view, start, end) =>
      shard.input.receivedInside(connection, bytes, view, start, end);
    this.engines.set('nats', {
      connectionType: 'WEBSOCKET',
      takesText: true,
      attach: (connection) => {
        connection.gated = shard.session.login.requiresAuth(connection);
      },
      begin: (connection) => this.#beginNats(connection),
      received,
    });
    const { mqtt } = shard;
    if (mqtt === null) return;
    this.engines.set('mqtt', {
      connectionType: 'MQTT_WS',
      takesText: false,
      attach: (connection) => mqtt.begin(connection),
      begin: (connection) => mqtt.login.awaitConnect(connection),
      received,
    });
  }

  get headers(): readonly (readonly [string, string])[] {
    return this.#shard.options.websocket?.headers ?? [];
  }

  get handshakeTimeoutMs(): number {
    return this.#shard.options.websocket?.handshakeTimeoutMs ?? 0;
  }

  /** Takes over new options; connections that exist keep their certificates. */
  applyOptions(): void {
    const { websocket } = this.#shard.options;
    if (websocket === null) return;
    const { tls: options } = websocket;
    this.tls = options === null ? null : { options, context: createSecureContext(options) };
    this.rules = {
      origins: compileOriginRules(websocket.sameOrigin, websocket.allowedOrigins),
      isTls: options !== null,
      compression: websocket.compression,
      hasMqtt: this.engines.has('mqtt'),
    };
  }

  /** A connection that main accepted on the WebSocket listener. */
  accept(handed: HandedConnection): void {
    const { counters, input } = this.#shard;
    const slot: ReadSlot = { handed, pending: null, connection: null };
    const target = {
      buffer: () => input.region,
      callback: (count: number): boolean => {
        if (slot.connection !== null) return this.input.received(slot.connection, count);
        slot.pending?.received(input.region.subarray(0, count));
        return true;
      },
    };
    counters[COUNTERS.adopted]!++;
    let socket: net.Socket;
    try {
      socket = adoptSocket(handed, this.tls === null ? target : null);
    } catch (error) {
      this.#shard.admission.lost(handed, error as Error);
      return;
    }
    slot.pending = new PendingUpgrade(this, socket, remoteText(handed));
    this.#slots.set(slot.pending, slot);
  }

  log(level: 'error' | 'debug', text: string): void {
    this.#shard.log(level, text);
  }

  gone(pending: PendingUpgrade): void {
    const slot = this.#slots.get(pending);
    this.#slots.delete(pending);
    if (slot?.handed.refusal === '') this.#shard.countEnded();
  }

  upgraded(pending: PendingUpgrade, upgrade: Upgrade): void {
    const slot = this.#slots.get(pending)!;
    const engine = this.engines.get(upgrade.protocol);
    if (engine === undefined) {
      this.log('error', `${pending.remote} - Not configured to accept leaf node connections`);
      this.gone(pending);
      pending.stream.destroySoon();
      return;
    }
    this.#slots.delete(pending);
    slot.pending = null;
    const connection = this.#connect(slot.handed, pending, upgrade, engine);
    slot.connection = connection;
    this.#shard.log('debug', `${connection.label} - Client connection created`);
    if (connection.encrypted) this.#readChunks(connection, pending.stream);
    const { refusal } = slot.handed;
    this.#shard.beginTurn();
    if (refusal === '') engine.begin(connection);
    else this.#shard.admission.refuse(connection, refusal);
  }

  #connect(
    handed: HandedConnection,
    pending: PendingUpgrade,
    upgrade: Upgrade,
    engine: StreamEngine,
  ): ClientConnection {
    const shard = this.#shard;
    const { socket, stream } = pending;
    const connection = new ClientConnection(shard, handed.cid, socket, shard.globalAccount, Date.now());
    connection.remoteAddress = handed.remoteAddress;
    connection.remotePort = handed.remotePort;
    connection.refused = handed.refusal !== '';
    connection.type = engine.connectionType;
    connection.websocket = new WebsocketState(
      upgrade,
      engine,
      cookieCredentials(upgrade.cookies, shard.options.websocket!),
    );
    connection.framing = connection.websocket;
    connection.stream = stream;
    connection.encrypted = stream !== socket;
    engine.attach(connection);
    shard.register(connection);
    shard.admission.listen(connection, socket);
    if (connection.encrypted) shard.admission.listen(connection, stream);
    pending.release();
    return connection;
  }

  #readChunks(connection: ClientConnection, stream: PendingUpgrade['stream']): void {
    stream.on('data', (chunk: Buffer) => {
      if (!this.input.receivedChunk(connection, chunk)) stream.pause();
    });
  }

  /** The reason to stop reading is gone: frames that were put aside come first. @returns false when it must stop again */
  resume(connection: ClientConnection): boolean {
    const state = connection.websocket!;
    if (connection.framing === null) return this.native.resume(connection);
    const { held } = state;
    state.held = null;
    return held === null || this.input.receivedChunk(connection, held);
  }

  /** Ends everything that isn't a client yet. */
  abandonPending(): void {
    for (const pending of [...this.#slots.keys()]) pending.abandon();
  }

  #beginNats(connection: ClientConnection): void {
    const { session } = this.#shard;
    session.login.sendInfo(connection);
    session.login.awaitConnect(connection);
  }
}

/** Who gets what is read from a socket. */
interface ReadSlot {
  handed: HandedConnection;
  pending: PendingUpgrade | null;
  connection: ClientConnection | null;
}

function remoteText({ remoteAddress, remotePort }: HandedConnection): string {
  return `${remoteAddress.includes(':') ? `[${remoteAddress}]` : remoteAddress}:${remotePort}`;
}
