import type { ConnectionType } from '../../../shared/base/options.ts';
import type { ClientConnection } from '../connection.ts';

/** The protocol inside the frames of a WebSocket, which is a stream of bytes to it: NATS, or another one by its path. */
export interface StreamEngine {
  /** What its connections are to `allowed_connection_types`. */
  readonly connectionType: ConnectionType;
  /** Text messages are as good as binary ones. */
  readonly takesText: boolean;
  /** Gives a new connection what the protocol needs of it; nothing is sent yet. */
  attach(connection: ClientConnection): void;
  /** The upgrade is done, and there is room for the connection. */
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
