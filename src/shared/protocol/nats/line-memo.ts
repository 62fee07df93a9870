import { LINE_MEMO_MAX_BYTES } from '../../base/limits.ts';

/** A control line seen twice in a row, with everything that parsing it yielded. */
export class LineMemo {
  readonly bytes = new Uint8Array(LINE_MEMO_MAX_BYTES + 4);
  readonly view = new DataView(this.bytes.buffer);
  lineBytes = 0;
  messageBytes = 0;
  payloadBytes = 0;
  tailOffset = 0;
  subjectHash = 0;
  /** Belongs to the sink: the route that this line's subject led to. */
  route: unknown = null;
}

/** Whether the bytes at `position` are the remembered line; there must be at least `memo.lineBytes` of them. */
export function lineEquals(view: DataView, position: number, memo: LineMemo): boolean {
  const wanted = memo.view;
  const words = memo.lineBytes - 3;
  let at = 0;
  for (; at < words; at += 4) {
    if (view.getInt32(position + at, true) !== wanted.getInt32(at, true)) return false;
  }
  // The last word overlaps the one before it: a line is never shorter than four bytes.
  const last = memo.lineBytes - 4;
  return view.getInt32(position + last, true) === wanted.getInt32(last, true);
}
