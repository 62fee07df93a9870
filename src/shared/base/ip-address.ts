/** Syntax of IP addresses, without a socket module. */

const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?!$)|$)){4}$/;
const IPV6_CHARACTERS = /^[0-9a-fA-F:.]+$/;

/** Dotted decimal without leading zeros (RFC 6943 §3.1.1, the strict form). */
export function isIPv4(text: string): boolean {
  return IPV4.test(text) && !/(?:^|\.)0\d/.test(text);
}

/** Any text form of RFC 4291 §2.2, without zone. */
export function isIPv6(text: string): boolean {
  return text.includes(':') && IPV6_CHARACTERS.test(text) && URL.canParse(`http://[${text}]/`);
}
