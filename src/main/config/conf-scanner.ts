import { ConfigError, type Position } from './conf-value.ts';

/**
 * A cursor over one configuration text.
 *
 * The text is held as latin1, one character per byte: columns count bytes, and `\xHH` escapes can spell parts of a UTF-8
 * sequence, so text becomes Unicode only when a token is complete.
 */

export const NEW_LINES = '\n\r';
export const SPACES = ' \t';

export class ConfScanner {
  readonly file: string;
  readonly text: string;
  offset = 0;
  #line = 1;
  #lineStart = 0;
  /** Lines are counted up to here. */
  #counted = 0;

  constructor(file: string, latin1: string) {
    this.file = file;
    this.text = latin1;
  }

  get atEnd(): boolean {
    return this.offset >= this.text.length;
  }

  /** The character at the cursor (or `ahead` of it), empty at the end of the text. */
  peek(ahead = 0): string {
    return this.text.charAt(this.offset + ahead);
  }

  /** At the end of the text counts as "in the set" nowhere. */
  isAt(characters: string): boolean {
    return !this.atEnd && characters.includes(this.peek());
  }

  get atComment(): boolean {
    return this.peek() === '#' || (this.peek() === '/' && this.peek(1) === '/');
  }

  skip(characters: string): void {
    while (this.isAt(characters)) this.offset++;
  }

  /** Skips spaces and, when told, new lines and comments. */
  skipBlank(): void {
    for (;;) {
      this.skip(SPACES + NEW_LINES);
      if (!this.atComment) return;
      this.skipComment();
    }
  }

  /** Moves to the end of the line. */
  skipComment(): void {
    while (!this.atEnd && !NEW_LINES.includes(this.peek())) this.offset++;
  }

  position(offset = this.offset): Position {
    this.#countTo(offset);
    const column = this.#line === 1 ? offset : offset - this.#lineStart + 1;
    return { file: this.file, line: this.#line, column };
  }

  /** The error of a lexer that has consumed the character at the cursor: a new line counts as part of the next line. */
  syntaxError(message: string): ConfigError {
    this.#countTo(Math.min(this.offset + 1, this.text.length));
    return new ConfigError('CONFIG_SYNTAX', `Parse error on line ${this.#line}: '${message}'`);
  }

  /** The character at the cursor as a message shows it. */
  describe(): string {
    if (this.atEnd) return 'EOF';
    const character = this.peek();
    if (character === '\n') return '\\n';
    if (character === '\r') return '\\r';
    if (character === '\t') return '\\t';
    const code = character.charCodeAt(0);
    if (code < 0x80) return character;
    const length = code >= 0xf0 ? 4 : code >= 0xe0 ? 3 : 2;
    return decodeText(this.text.slice(this.offset, this.offset + length));
  }

  #countTo(offset: number): void {
    if (offset < this.#counted) {
      this.#line = 1;
      this.#lineStart = 0;
      this.#counted = 0;
    }
    for (;;) {
      const newLine = this.text.indexOf('\n', this.#counted);
      if (newLine < 0 || newLine >= offset) break;
      this.#line++;
      this.#lineStart = newLine + 1;
      this.#counted = newLine + 1;
    }
    this.#counted = Math.max(this.#counted, Math.min(offset, this.text.length));
  }
}

/** The Unicode text of latin1-held UTF-8 bytes; invalid bytes become U+FFFD. */
export function decodeText(latin1: string): string {
  for (let i = 0; i < latin1.length; i++) {
    if (latin1.charCodeAt(i) >= 0x80) return Buffer.from(latin1, 'latin1').toString('utf8');
  }
  return latin1;
}
