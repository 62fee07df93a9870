/**
 * Who is due when: one queue for everything in the engine that waits for a time.
 *
 * A binary heap of items that know their place in it, so a time is changed or taken back in O(log n) and nothing is
 * allocated. An item is in one queue at most.
 */

/** Something with a time limit. */
export interface DueItem {
  /** Unix milliseconds; kept by the queue. */
  dueMs: number;
  /** Place in the heap, -1 outside; kept by the queue. */
  dueIndex: number;
  /** Its time has come; it has left the queue. */
  due(): void;
}

export class DueQueue {
  readonly #heap: DueItem[] = [];

  get size(): number {
    return this.#heap.length;
  }

  /** When the first item is due, Unix milliseconds; Infinity without any. */
  get nextMs(): number {
    return this.#heap.length === 0 ? Infinity : this.#heap[0]!.dueMs;
  }

  /** Puts an item in, or changes its time. Infinity takes it out. */
  set(item: DueItem, timeMs: number): void {
    if (timeMs === Infinity) {
      this.remove(item);
      return;
    }
    if (item.dueIndex < 0) {
      item.dueMs = timeMs;
      item.dueIndex = this.#heap.length;
      this.#heap.push(item);
      this.#up(item.dueIndex);
      return;
    }
    const before = item.dueMs;
    item.dueMs = timeMs;
    if (timeMs < before) this.#up(item.dueIndex);
    else if (timeMs > before) this.#down(item.dueIndex);
  }

  /** As `set`, but never makes it later. */
  atMost(item: DueItem, timeMs: number): void {
    if (item.dueIndex < 0 || timeMs < item.dueMs) this.set(item, timeMs);
  }

  remove(item: DueItem): void {
    const at = item.dueIndex;
    if (at < 0) return;
    item.dueIndex = -1;
    const last = this.#heap.pop()!;
    if (last === item) return;
    this.#place(last, at);
    this.#up(at);
    this.#down(last.dueIndex);
  }

  /** Takes the first item when it is due. */
  takeDue(nowMs: number): DueItem | null {
    if (this.nextMs > nowMs) return null;
    const first = this.#heap[0]!;
    this.remove(first);
    return first;
  }

  #place(item: DueItem, at: number): void {
    this.#heap[at] = item;
    item.dueIndex = at;
  }

  #up(start: number): void {
    const item = this.#heap[start]!;
    let at = start;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (this.#heap[parent]!.dueMs <= item.dueMs) break;
      this.#place(this.#heap[parent]!, at);
      at = parent;
    }
    this.#place(item, at);
  }

  #down(start: number): void {
    const item = this.#heap[start]!;
    const size = this.#heap.length;
    let at = start;
    for (let child = 2 * at + 1; child < size; child = 2 * at + 1) {
      if (child + 1 < size && this.#heap[child + 1]!.dueMs < this.#heap[child]!.dueMs) child++;
      if (item.dueMs <= this.#heap[child]!.dueMs) break;
      this.#place(this.#heap[child]!, at);
      at = child;
    }
    this.#place(item, at);
  }
}
