/** A packet that breaks the protocol. Only bad input makes one: the connection ends with it. */
export class PacketError extends Error {
  override readonly name = 'PacketError';
  /** Reason code for a 5.0 client. */
  readonly reason: number;
  /** Version of the CONNECT it was found in, 0 when that isn't known: tells the form of the CONNACK. */
  level = 0;

  constructor(reason: number, text: string) {
    super(text);
    this.reason = reason;
  }
}
