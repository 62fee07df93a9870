import type { Position } from './conf-value.ts';

/** Something wrong with one option: the text without position; the position defaults to that of the option's key. */
export class OptionError extends Error {
  readonly code = 'CONFIG_OPTION';
  readonly position: Position | null;

  constructor(text: string, position: Position | null = null) {
    super(text);
    this.name = 'OptionError';
    this.position = position;
  }
}
