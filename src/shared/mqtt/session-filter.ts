/** A subscription of a session, version-neutral: as it is stored, and as it travels between threads. */
export interface FilterOptions {
  /** As the client wrote it, one character a byte; `$share/…` included. */
  readonly filter: string;
  /** Text of the wire. */
  readonly subject: string;
  /** Subject of the parent level where the filter ends in `#`, else null. */
  readonly parentSubject: string | null;
  /** Name of the shared subscription, or null. */
  readonly share: string | null;
  readonly qos: number;
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  readonly skipsDollar: boolean;
  /** 0: none. */
  readonly subscriptionId: number;
}
