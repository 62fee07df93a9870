import { PROPERTY, type PropertyBlock } from '../protocol/mqtt/properties.ts';
import { subjectOfTopic, topicOfSubject } from '../protocol/mqtt/topic-mapping.ts';
import { isMqttUtf8 } from '../protocol/mqtt/utf8.ts';
import { ByteWriter } from '../protocol/mqtt/writer.ts';

/**
 * What of a PUBLISH is no payload, as NATS headers, and back (mqtt.md §12, §21.5).
 *
 * ```
 *   Nmqtt-Pub        QoS, as nats-server writes it
 *   Nmqtt-Retain     1: published with RETAIN
 *   Nmqtt-Exp        when it expires, Unix milliseconds
 *   Nmqtt-PFI        payload format indicator
 *   Nmqtt-CT         content type, percent-encoded where need be
 *   Nmqtt-Corr       correlation data, base64
 *   Nmqtt-RespTopic  a response topic that no reply subject can stand for, percent-encoded
 *   Nmqtt-UP         a user property whose name or value can't be a header: `key=value`, percent-encoded
 * ```
 *
 * Any other user property is a header of its own, and any other header of a NATS publisher is a user property. What the
 * server reads meaning into (`Nats-…`, `Nmqtt-…`) is neither: such a user property travels as `Nmqtt-UP`.
 */

const OWN_PREFIX = 'nmqtt-';
const CONTROL_PREFIX = 'nats-';
/** `NATS/1.0\r\nNmqtt-Pub:0\r\n\r\n`; the digit is the QoS. */
export const PLAIN_HEADERS = Buffer.from('NATS/1.0\r\nNmqtt-Pub:0\r\n\r\n', 'latin1');
export const PLAIN_QOS_OFFSET = 20;
const HEADER_NAME = /^[\x21-\x39\x3b-\x7e]+$/;
const HEADER_VALUE = /^(?![ \t])[^\0\r\n]*(?<![ \t])$/;
/** Only these: other characters that count as blanks elsewhere may be a part of a UTF-8 sequence here. */
const BLANKS_AROUND = /^[ \t]+|[ \t]+$/g;

/** Longest property block made of foreign headers: a NATS message may have more than a packet should. */
const PROPERTIES_MAX_BYTES = 64 * 1024;

/** What the headers of a message mean to an MQTT subscriber. One instance is reused. */
export class MessageMeaning {
  qos = 0;
  retain = false;
  /** 0: never. Unix milliseconds. */
  expiresAtMs = 0;
  /** Properties that every 5.0 subscriber gets, without expiry, alias and subscription identifiers. */
  readonly properties = new ByteWriter();
  #hasResponseTopic = false;
  /** What was read last, if that still is what the fields say: many messages have the same. */
  #block: Uint8Array | null = null;
  #reply = '';

  /**
   * Reads a header block that is one of those this server writes for a PUBLISH without properties, or none.
   * @returns false when it is something else, to be read with `read`
   */
  readPlain(bytes: Uint8Array, start: number, length: number): boolean {
    if (length !== 0 && (length !== PLAIN_HEADERS.length || !isPlain(bytes, start))) return false;
    this.#clear();
    if (length !== 0) this.qos = bytes[start + PLAIN_QOS_OFFSET]! - 0x30;
    return true;
  }

  #clear(): void {
    this.#block = null;
    this.qos = 0;
    this.retain = false;
    this.expiresAtMs = 0;
    this.#hasResponseTopic = false;
    this.properties.reset();
  }

  /**
   * Reads a header block.
   *
   * @param block empty when there are no headers
   * @param reply subject as text of the wire, '' for none
   */
  read(block: Uint8Array, reply: string): void {
    if (this.#block !== null && this.#reply === reply && isSame(this.#block, block)) return;
    this.#parse(block, reply);
    this.#block = block.slice();
    this.#reply = reply;
  }

  /** Adds a subscription identifier for this one reading. */
  addSubscriptionId(id: number): void {
    this.#block = null;
    this.properties.property(PROPERTY.subscriptionId, id);
  }

  #parse(block: Uint8Array, reply: string): void {
    if (!this.readPlain(block, 0, block.length)) {
      this.#clear();
      this.#lines(Buffer.from(block).toString('latin1'));
    }
    if (reply === '' || this.#hasResponseTopic) return;
    const topic = topicOfSubject(reply);
    if (
      topic.length > 0 &&
      isMqttUtf8(topic, 0, topic.length) &&
      !topic.includes(0x2b) &&
      !topic.includes(0x23)
    )
      this.properties.property(PROPERTY.responseTopic, topic);
  }

  #lines(text: string): void {
    for (const line of text.split('\r\n').slice(1)) {
      const colon = line.indexOf(':');
      if (colon <= 0) continue;
      const name = line.slice(0, colon);
      const value = line.slice(colon + 1).replace(BLANKS_AROUND, '');
      const lower = name.toLowerCase();
      if (lower.startsWith(OWN_PREFIX)) this.#own(lower, value);
      else if (!lower.startsWith(CONTROL_PREFIX)) this.#user(name, value);
    }
  }

  #own(name: string, value: string): void {
    switch (name) {
      case 'nmqtt-pub':
        if (/^[0-2]/.test(value)) this.qos = value.charCodeAt(0) - 0x30;
        return;
      case 'nmqtt-retain':
        this.retain = value === '1';
        return;
      case 'nmqtt-exp':
        if (/^\d{1,16}$/.test(value)) this.expiresAtMs = Number(value);
        return;
      case 'nmqtt-pfi':
        if (value === '0' || value === '1') this.properties.property(PROPERTY.payloadFormat, Number(value));
        return;
      case 'nmqtt-ct':
        this.#text(PROPERTY.contentType, value);
        return;
      case 'nmqtt-resptopic':
        this.#hasResponseTopic = this.#text(PROPERTY.responseTopic, value);
        return;
      case 'nmqtt-corr':
        if (value.length <= 87_380)
          this.properties.property(PROPERTY.correlationData, Buffer.from(value, 'base64'));
        return;
      case 'nmqtt-up': {
        const equals = value.indexOf('=');
        if (equals >= 0) this.#pair(decoded(value.slice(0, equals)), decoded(value.slice(equals + 1)));
        return;
      }
      default:
    }
  }

  /** @returns whether the text is one */
  #text(id: number, value: string): boolean {
    const text = decoded(value);
    if (text === null || text.includes('\0') || Buffer.byteLength(text) > 0xffff) return false;
    this.properties.property(id, text);
    return true;
  }

  /** A header as text of the wire: one character a byte. */
  #user(name: string, value: string): void {
    const nameBytes = Buffer.from(name, 'latin1');
    const valueBytes = Buffer.from(value, 'latin1');
    if (!isMqttUtf8(nameBytes, 0, nameBytes.length) || !isMqttUtf8(valueBytes, 0, valueBytes.length)) return;
    this.#pair(nameBytes.toString('utf8'), valueBytes.toString('utf8'));
  }

  #pair(key: string | null, value: string | null): void {
    if (key === null || value === null || key.includes('\0') || value.includes('\0')) return;
    const bytes = Buffer.byteLength(key) + Buffer.byteLength(value);
    if (bytes > 0xffff || this.properties.length + bytes > PROPERTIES_MAX_BYTES) return;
    this.properties.userProperty(key, value);
  }
}

function isSame(left: Uint8Array, right: Uint8Array): boolean {
  if (left.length !== right.length) return false;
  for (let i = 0; i < left.length; i++) if (left[i] !== right[i]) return false;
  return true;
}

function isPlain(bytes: Uint8Array, start: number): boolean {
  for (let i = 0; i < PLAIN_HEADERS.length; i++) {
    if (i !== PLAIN_QOS_OFFSET && bytes[start + i] !== PLAIN_HEADERS[i]) return false;
  }
  const digit = bytes[start + PLAIN_QOS_OFFSET]!;
  return digit >= 0x30 && digit <= 0x32;
}

function decoded(value: string): string | null {
  try {
    return decodeURIComponent(value);
  } catch {
    return null;
  }
}

/** Headers and reply subject of a message. */
export interface NatsParts {
  /** Whole block. */
  readonly headers: Uint8Array;
  /** Text of the wire, '' for none. */
  readonly reply: string;
}

/**
 * Builds the headers of a PUBLISH or a will.
 *
 * @param block properties, empty for 3.1.1
 * @param nowMs for the expiry, Unix milliseconds
 */
export function natsParts(qos: number, retain: boolean, block: PropertyBlock, nowMs: number): NatsParts {
  let text = `NATS/1.0\r\nNmqtt-Pub:${qos}\r\n`;
  let reply = '';
  if (retain) text += 'Nmqtt-Retain:1\r\n';
  const expiry = block.number(PROPERTY.messageExpiry, -1);
  if (expiry >= 0) text += `Nmqtt-Exp:${nowMs + expiry * 1000}\r\n`;
  const format = block.number(PROPERTY.payloadFormat, -1);
  if (format >= 0) text += `Nmqtt-PFI:${format}\r\n`;
  if (block.has(PROPERTY.contentType)) text += `Nmqtt-CT:${encoded(block, PROPERTY.contentType)}\r\n`;
  const correlation = block.copyOf(PROPERTY.correlationData);
  if (correlation !== null) text += `Nmqtt-Corr:${Buffer.from(correlation).toString('base64')}\r\n`;
  const responseTopic = block.copyOf(PROPERTY.responseTopic);
  if (responseTopic !== null) {
    reply = responseTopic.length === 0 ? '' : (subjectOfTopic(responseTopic, false) ?? '');
    if (reply === '') text += `Nmqtt-RespTopic:${encoded(block, PROPERTY.responseTopic)}\r\n`;
  }
  if (block.userProperties > 0) text += userHeaders(block);
  return { headers: Buffer.from(`${text}\r\n`, 'latin1'), reply };
}

function utf8Of(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.subarray(start, end)).toString('utf8');
}

function encoded(block: PropertyBlock, id: number): string {
  return encodeURIComponent(utf8Of(block.bytes, block.startOf(id), block.endOf(id)));
}

function userHeaders(block: PropertyBlock): string {
  let text = '';
  block.visitUserProperties((keyStart, keyEnd, valueStart, valueEnd) => {
    const latin1Of = (start: number, end: number) =>
      Buffer.from(block.bytes.subarray(start, end)).toString('latin1');
    const key = latin1Of(keyStart, keyEnd);
    const value = latin1Of(valueStart, valueEnd);
    const lower = key.toLowerCase();
    const isFree = !lower.startsWith(OWN_PREFIX) && !lower.startsWith(CONTROL_PREFIX);
    if (isFree && HEADER_NAME.test(key) && HEADER_VALUE.test(value)) text += `${key}:${value}\r\n`;
    else {
      const name = encodeURIComponent(utf8Of(block.bytes, keyStart, keyEnd));
      text += `Nmqtt-UP:${name}=${encodeURIComponent(utf8Of(block.bytes, valueStart, valueEnd))}\r\n`;
    }
  });
  return text;
}
