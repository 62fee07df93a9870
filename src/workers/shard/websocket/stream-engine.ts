import type { ClientConnection } from '../connection.ts';

/** The protocol inside the frames of a WebSocket, which is a stream of bytes to it: NATS, or another one by its path. */
export interface StreamEngine {
  /** The upgrade is done. */
  begin(connection: ClientConnection): void;
  /**
   * Bytes of the stream. Those in front of `start` may be overwritten, WORD_SLACK_BYTES behind `end` may be read.
   * @returns false when reading must stop; `Shard.websocket.resume` goes on
   */
  received(
    connection: ClientConnection,
    bytes: Uint8Array,
    view: DataView,
    start: number,
    end: number,
  ): boolean;
}
