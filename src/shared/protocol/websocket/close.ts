/** Close frames: what a client may say in one, and what the server says (RFC 6455 §7.4; websocket.md §5). */

export const STATUS = {
  normal: 1000,
  goingAway: 1001,
  protocolError: 1002,
  unsupportedData: 1003,
  invalidPayload: 1007,
  policyViolation: 1008,
  messageTooBig: 1009,
  internalError: 1011,
  tlsHandshake: 1015,
} as const;

const TEXT_MAX_BYTES = 123;
const CUT = '...';

/** Payload of a close frame; a text longer than 123 bytes is cut. */
export function closePayload(status: number, text: string): Uint8Array {
  let bytes = new TextEncoder().encode(text);
  if (bytes.length > TEXT_MAX_BYTES) {
    let end = TEXT_MAX_BYTES - CUT.length;
    // Not in the middle of a character.
    while (end > 0 && (bytes[end]! & 0xc0) === 0x80) end--;
    bytes = Uint8Array.of(...bytes.subarray(0, end), ...new TextEncoder().encode(CUT));
  }
  const payload = new Uint8Array(2 + bytes.length);
  payload[0] = status >>> 8;
  payload[1] = status & 0xff;
  payload.set(bytes, 2);
  return payload;
}

/** The answer to a close frame. */
export interface CloseAnswer {
  payload: Uint8Array;
  /** '' when the client closed in order; otherwise a violation of the protocol, as the log has it. */
  problem: string;
}

/** Answers a client's close frame: the same again, or what is wrong with it (websocket.md §5.1). */
export function answerClose(payload: Uint8Array): CloseAnswer {
  if (payload.length === 0) return { payload, problem: '' };
  if (payload.length === 1) return violation('close frame payload cannot be 1 byte');
  const status = (payload[0]! << 8) | payload[1]!;
  if (!isValidStatus(status)) return violation(`invalid close status code ${status}`);
  if (!isUtf8(payload.subarray(2))) {
    return { payload: closePayload(STATUS.invalidPayload, 'invalid utf8 body in close frame'), problem: '' };
  }
  return { payload, problem: '' };
}

function violation(problem: string): CloseAnswer {
  return { payload: closePayload(STATUS.protocolError, problem), problem };
}

function isValidStatus(status: number): boolean {
  if (status >= 3000) return status <= 4999;
  if (status > 1014) return false;
  return status >= 1000 && status !== 1004 && status !== 1005 && status !== 1006;
}

function isUtf8(bytes: Uint8Array): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}
