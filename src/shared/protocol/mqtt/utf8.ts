/** UTF-8 as MQTT allows it (3.1.1 and 5.0, clause 1.5.3/1.5.4): well-formed, no surrogates, no U+0000. */

/** Whether `bytes[start, end)` is a legal UTF-8 Encoded String. [MQTT-1.5.4-1], [MQTT-1.5.4-2] */
export function isMqttUtf8(bytes: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end; ) {
    const lead = bytes[at]!;
    if (lead < 0x80) {
      if (lead === 0) return false;
      at++;
      continue;
    }
    const length = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
    if (length === 0 || at + length > end) return false;
    for (let i = 1; i < length; i++) if ((bytes[at + i]! & 0xc0) !== 0x80) return false;
    const second = bytes[at + 1]!;
    // Overlong forms, surrogates, and what lies beyond U+10FFFF.
    if (lead === 0xe0 && second < 0xa0) return false;
    if (lead === 0xed && second > 0x9f) return false;
    if (lead === 0xf0 && second < 0x90) return false;
    if (lead === 0xf4 && second > 0x8f) return false;
    at += length;
  }
  return true;
}

/** Decodes a string that was found legal. */
export function utf8Text(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('utf8');
}
