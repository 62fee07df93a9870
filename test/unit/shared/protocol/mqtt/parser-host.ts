import { PARSE_CLOSED, PARSE_MORE } from '../../../../../src/shared/base/parse-outcome.ts';
import type { ConnectPacket } from '../../../../../src/shared/protocol/mqtt/connect.ts';
import {
  MqttParser,
  type MqttParserClient,
  type MqttParserSink,
} from '../../../../../src/shared/protocol/mqtt/parser.ts';
import type {
  SubscribePacket,
  UnsubscribePacket,
} from '../../../../../src/shared/protocol/mqtt/subscribe.ts';

/** What a parser reported, copied so that it can be compared afterwards. */
export type Report =
  | { kind: 'connect'; packet: ConnectPacket }
  | {
      kind: 'publish';
      topic: string;
      payload: string;
      qos: number;
      retain: boolean;
      dup: boolean;
      packetId: number;
      users: [string, string][];
    }
  | { kind: 'acknowledge'; type: number; packetId: number; reason: number }
  | { kind: 'subscribe'; packet: SubscribePacket }
  | { kind: 'unsubscribe'; packet: UnsubscribePacket }
  | { kind: 'ping' }
  | { kind: 'disconnect'; reason: number; sessionExpirySeconds: number }
  | { kind: 'authenticate'; reason: number; method: string }
  | { kind: 'violation'; reason: number; text: string };

/** A connection and its parser: collects what is reported, keeps unfinished bytes as a shard does. */
export class ParserHost implements MqttParserClient, MqttParserSink<ParserHost> {
  readonly mqtt: { level: 0 | 4 | 5; maxPacketBytes: number };
  readonly reports: Report[] = [];
  readonly parser = new MqttParser<ParserHost>(this);
  held: Uint8Array = new Uint8Array(0);
  closed = false;

  constructor(level: 0 | 4 | 5, maxPacketBytes = 1024 * 1024) {
    this.mqtt = { level, maxPacketBytes };
  }

  push(chunk: Uint8Array): this {
    if (this.closed) return this;
    const bytes = new Uint8Array(this.held.length + chunk.length);
    bytes.set(this.held);
    bytes.set(chunk, this.held.length);
    const rest = this.parser.parse(this, bytes, 0, bytes.length);
    this.held = bytes.slice(rest);
    return this;
  }

  /** The violation's reason code, or -1. */
  get violationReason(): number {
    const last = this.reports.at(-1);
    return last?.kind === 'violation' ? last.reason : -1;
  }

  connect(_client: ParserHost, packet: ConnectPacket): number {
    this.mqtt.level = packet.level;
    this.reports.push({ kind: 'connect', packet });
    return PARSE_MORE;
  }

  publish(_client: ParserHost, parser: MqttParser<ParserHost>): number {
    const { bytes, topicStart, topicEnd, payloadStart, payloadEnd, qos, retain, dup, packetId } = parser;
    const text = (start: number, end: number) => Buffer.from(bytes.subarray(start, end)).toString('utf8');
    const users: [string, string][] = [];
    parser.properties.visitUserProperties((keyStart, keyEnd, valueStart, valueEnd) =>
      users.push([text(keyStart, keyEnd), text(valueStart, valueEnd)]),
    );
    const payload = Buffer.from(bytes.subarray(payloadStart, payloadEnd)).toString('latin1');
    const topic = text(topicStart, topicEnd);
    this.reports.push({ kind: 'publish', topic, payload, qos, retain, dup, packetId, users });
    return PARSE_MORE;
  }

  acknowledge(_client: ParserHost, type: number, packetId: number, reason: number): number {
    this.reports.push({ kind: 'acknowledge', type, packetId, reason });
    return PARSE_MORE;
  }

  subscribe(_client: ParserHost, packet: SubscribePacket): number {
    this.reports.push({ kind: 'subscribe', packet });
    return PARSE_MORE;
  }

  unsubscribe(_client: ParserHost, packet: UnsubscribePacket): number {
    this.reports.push({ kind: 'unsubscribe', packet });
    return PARSE_MORE;
  }

  ping(): number {
    this.reports.push({ kind: 'ping' });
    return PARSE_MORE;
  }

  disconnect(_client: ParserHost, reason: number, sessionExpirySeconds: number): number {
    this.reports.push({ kind: 'disconnect', reason, sessionExpirySeconds });
    return PARSE_MORE;
  }

  authenticate(_client: ParserHost, reason: number, method: Uint8Array | null): number {
    this.reports.push({ kind: 'authenticate', reason, method: Buffer.from(method ?? []).toString('utf8') });
    return PARSE_MORE;
  }

  violation(_client: ParserHost, reason: number, text: string): number {
    this.reports.push({ kind: 'violation', reason, text });
    this.closed = true;
    return PARSE_CLOSED;
  }
}
