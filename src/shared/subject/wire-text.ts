/**
 * Subjects exist in two forms: as people write them in configuration (Unicode text) and as they are on the wire (latin1
 * strings, one character a byte of the UTF-8 form). Everything that matches works on the wire form.
 */

/** The wire form of a text: its UTF-8 bytes, one character each. */
export function wireText(text: string): string {
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) > 0x7f) return Buffer.from(text, 'utf8').toString('latin1');
  }
  return text;
}

/** The text of a wire form; bytes that are not UTF-8 become U+FFFD. */
export function textOfWire(wire: string): string {
  for (let i = 0; i < wire.length; i++) {
    if (wire.charCodeAt(i) > 0x7f) return Buffer.from(wire, 'latin1').toString('utf8');
  }
  return wire;
}
