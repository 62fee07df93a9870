import { SinkLogger } from '../../../src/main/log/logger.ts';

/** A logger whose lines are kept as `<level> <text>`. */
export class RecordingLogger extends SinkLogger {
  readonly lines: string[];
  private readonly waiting: ((line: string) => void)[];

  constructor(levels = { debug: true, trace: true }) {
    const lines: string[] = [];
    const waiting: ((line: string) => void)[] = [];
    super(
      {
        write(level, text) {
          lines.push(`${level} ${text}`);
          waiting.shift()?.(`${level} ${text}`);
        },
        reopen: () => undefined,
        flushSync() {},
        async close() {},
      },
      levels,
    );
    this.lines = lines;
    this.waiting = waiting;
  }

  /** The next line to come. */
  next(): Promise<string> {
    return new Promise((resolve) => this.waiting.push(resolve));
  }
}
