/** The shared memory between a thread and one other, as the first of them sees it. */
export interface ThreadMemory<Port> {
  thread: number;
  /** Ring from this thread to the other, and back. */
  outRing: SharedArrayBuffer;
  inRing: SharedArrayBuffer;
  /** Bytes of large payloads under way, in each direction. */
  outLarge: SharedArrayBuffer;
  inLarge: SharedArrayBuffer;
  /** Carries the large payloads themselves. */
  port: Port;
}
