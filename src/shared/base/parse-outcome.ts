/** How a parser's call ended. The parsers of all protocols say it in the same way, so that input handling knows but one. */

/** Everything complete was dealt with. */
export const PARSE_MORE = 0;
/** A ring is full: the operation is to be presented again when there is room. */
export const PARSE_BLOCKED = 1;
/** The connection is closed. */
export const PARSE_CLOSED = 2;
/** The operation is done, what comes behind it has to wait. */
export const PARSE_PAUSED = 3;
