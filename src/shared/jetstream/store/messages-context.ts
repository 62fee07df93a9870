import type { MessageBlock } from './block.ts';
import type { BlockFile } from './block-file.ts';
import type { BlockCache } from './chunk.ts';

/** What the messages of a stream have around them. */
export interface MessagesContext {
  readonly uid: number;
  readonly memory: boolean;
  readonly blockBytes: number;
  readonly cache: BlockCache;
  /** Names the file of a new block; null for memory. */
  readonly newFile: (number: number, firstSeq: number) => BlockFile | null;
  readonly note: (
    block: MessageBlock,
    firstSeq: number,
    lastSeq: number,
    bytes: number,
    message: string,
  ) => void;
  /** Something that nothing is lost by. */
  readonly report: (block: MessageBlock, message: string) => void;
}
