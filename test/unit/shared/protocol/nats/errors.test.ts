import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  CLOSE_REASON,
  ERR,
  errLine,
  flushesOnClose,
  goQuote,
  publishReplyViolation,
  publishViolation,
  removedSubscriptionViolation,
  subscriptionTokensViolation,
  subscriptionViolation,
} from '../../../../../src/shared/protocol/nats/errors.ts';

// Subject and its quoted form in the error of a refused publish, byte by byte, from nats-server 2.15.1.
const QUOTED: [string, string][] = [
  ['x\u0000y', '"x\\x00y"'],
  ['x\u0001y', '"x\\x01y"'],
  ['x\u0002y', '"x\\x02y"'],
  ['x\u0003y', '"x\\x03y"'],
  ['x\u0004y', '"x\\x04y"'],
  ['x\u0005y', '"x\\x05y"'],
  ['x\u0006y', '"x\\x06y"'],
  ['x\u0007y', '"x\\ay"'],
  ['x\by', '"x\\by"'],
  ['x\u000by', '"x\\vy"'],
  ['x\fy', '"x\\fy"'],
  ['x\u000ey', '"x\\x0ey"'],
  ['x\u000fy', '"x\\x0fy"'],
  ['x\u0010y', '"x\\x10y"'],
  ['x\u0011y', '"x\\x11y"'],
  ['x\u0012y', '"x\\x12y"'],
  ['x\u0013y', '"x\\x13y"'],
  ['x\u0014y', '"x\\x14y"'],
  ['x\u0015y', '"x\\x15y"'],
  ['x\u0016y', '"x\\x16y"'],
  ['x\u0017y', '"x\\x17y"'],
  ['x\u0018y', '"x\\x18y"'],
  ['x\u0019y', '"x\\x19y"'],
  ['x\u001ay', '"x\\x1ay"'],
  ['x\u001by', '"x\\x1by"'],
  ['x\u001cy', '"x\\x1cy"'],
  ['x\u001dy', '"x\\x1dy"'],
  ['x\u001ey', '"x\\x1ey"'],
  ['x\u001fy', '"x\\x1fy"'],
  ['x"y', '"x\\"y"'],
  ["x'y", '"x\'y"'],
  ['x\\y', '"x\\\\y"'],
  ['x\u007fy', '"x\\x7fy"'],
  ['x\u0080y', '"x\\x80y"'],
  ['x\u0081y', '"x\\x81y"'],
  ['x\u0082y', '"x\\x82y"'],
  ['x\u0083y', '"x\\x83y"'],
  ['x\u0084y', '"x\\x84y"'],
  ['x\u0085y', '"x\\x85y"'],
  ['x\u0086y', '"x\\x86y"'],
  ['x\u0087y', '"x\\x87y"'],
  ['x\u0088y', '"x\\x88y"'],
  ['x\u0089y', '"x\\x89y"'],
  ['x\u008ay', '"x\\x8ay"'],
  ['x\u008by', '"x\\x8by"'],
  ['x\u008cy', '"x\\x8cy"'],
  ['x\u008dy', '"x\\x8dy"'],
  ['x\u008ey', '"x\\x8ey"'],
  ['x\u008fy', '"x\\x8fy"'],
  ['x\u0090y', '"x\\x90y"'],
  ['x\u0091y', '"x\\x91y"'],
  ['x\u0092y', '"x\\x92y"'],
  ['x\u0093y', '"x\\x93y"'],
  ['x\u0094y', '"x\\x94y"'],
  ['x\u0095y', '"x\\x95y"'],
  ['x\u0096y', '"x\\x96y"'],
  ['x\u0097y', '"x\\x97y"'],
  ['x\u0098y', '"x\\x98y"'],
  ['x\u0099y', '"x\\x99y"'],
  ['x\u009ay', '"x\\x9ay"'],
  ['x\u009by', '"x\\x9by"'],
  ['x\u009cy', '"x\\x9cy"'],
  ['x\u009dy', '"x\\x9dy"'],
  ['x\u009ey', '"x\\x9ey"'],
  ['x\u009fy', '"x\\x9fy"'],
  ['x\u00a0y', '"x\\xa0y"'],
  ['x\u00a1y', '"x\\xa1y"'],
  ['x\u00a2y', '"x\\xa2y"'],
  ['x\u00a3y', '"x\\xa3y"'],
  ['x\u00a4y', '"x\\xa4y"'],
  ['x\u00a5y', '"x\\xa5y"'],
  ['x\u00a6y', '"x\\xa6y"'],
  ['x\u00a7y', '"x\\xa7y"'],
  ['x\u00a8y', '"x\\xa8y"'],
  ['x\u00a9y', '"x\\xa9y"'],
  ['x\u00aay', '"x\\xaay"'],
  ['x\u00aby', '"x\\xaby"'],
  ['x\u00acy', '"x\\xacy"'],
  ['x\u00ady', '"x\\xady"'],
  ['x\u00aey', '"x\\xaey"'],
  ['x\u00afy', '"x\\xafy"'],
  ['x\u00b0y', '"x\\xb0y"'],
  ['x\u00b1y', '"x\\xb1y"'],
  ['x\u00b2y', '"x\\xb2y"'],
  ['x\u00b3y', '"x\\xb3y"'],
  ['x\u00b4y', '"x\\xb4y"'],
  ['x\u00b5y', '"x\\xb5y"'],
  ['x\u00b6y', '"x\\xb6y"'],
  ['x\u00b7y', '"x\\xb7y"'],
  ['x\u00b8y', '"x\\xb8y"'],
  ['x\u00b9y', '"x\\xb9y"'],
  ['x\u00bay', '"x\\xbay"'],
  ['x\u00bby', '"x\\xbby"'],
  ['x\u00bcy', '"x\\xbcy"'],
  ['x\u00bdy', '"x\\xbdy"'],
  ['x\u00bey', '"x\\xbey"'],
  ['x\u00bfy', '"x\\xbfy"'],
  ['x\u00c0y', '"x\\xc0y"'],
  ['x\u00c1y', '"x\\xc1y"'],
  ['x\u00c2y', '"x\\xc2y"'],
  ['x\u00c3y', '"x\\xc3y"'],
  ['x\u00c4y', '"x\\xc4y"'],
  ['x\u00c5y', '"x\\xc5y"'],
  ['x\u00c6y', '"x\\xc6y"'],
  ['x\u00c7y', '"x\\xc7y"'],
  ['x\u00c8y', '"x\\xc8y"'],
  ['x\u00c9y', '"x\\xc9y"'],
  ['x\u00cay', '"x\\xcay"'],
  ['x\u00cby', '"x\\xcby"'],
  ['x\u00ccy', '"x\\xccy"'],
  ['x\u00cdy', '"x\\xcdy"'],
  ['x\u00cey', '"x\\xcey"'],
  ['x\u00cfy', '"x\\xcfy"'],
  ['x\u00d0y', '"x\\xd0y"'],
  ['x\u00d1y', '"x\\xd1y"'],
  ['x\u00d2y', '"x\\xd2y"'],
  ['x\u00d3y', '"x\\xd3y"'],
  ['x\u00d4y', '"x\\xd4y"'],
  ['x\u00d5y', '"x\\xd5y"'],
  ['x\u00d6y', '"x\\xd6y"'],
  ['x\u00d7y', '"x\\xd7y"'],
  ['x\u00d8y', '"x\\xd8y"'],
  ['x\u00d9y', '"x\\xd9y"'],
  ['x\u00day', '"x\\xday"'],
  ['x\u00dby', '"x\\xdby"'],
  ['x\u00dcy', '"x\\xdcy"'],
  ['x\u00ddy', '"x\\xddy"'],
  ['x\u00dey', '"x\\xdey"'],
  ['x\u00dfy', '"x\\xdfy"'],
  ['x\u00e0y', '"x\\xe0y"'],
  ['x\u00e1y', '"x\\xe1y"'],
  ['x\u00e2y', '"x\\xe2y"'],
  ['x\u00e3y', '"x\\xe3y"'],
  ['x\u00e4y', '"x\\xe4y"'],
  ['x\u00e5y', '"x\\xe5y"'],
  ['x\u00e6y', '"x\\xe6y"'],
  ['x\u00e7y', '"x\\xe7y"'],
  ['x\u00e8y', '"x\\xe8y"'],
  ['x\u00e9y', '"x\\xe9y"'],
  ['x\u00eay', '"x\\xeay"'],
  ['x\u00eby', '"x\\xeby"'],
  ['x\u00ecy', '"x\\xecy"'],
  ['x\u00edy', '"x\\xedy"'],
  ['x\u00eey', '"x\\xeey"'],
  ['x\u00efy', '"x\\xefy"'],
  ['x\u00f0y', '"x\\xf0y"'],
  ['x\u00f1y', '"x\\xf1y"'],
  ['x\u00f2y', '"x\\xf2y"'],
  ['x\u00f3y', '"x\\xf3y"'],
  ['x\u00f4y', '"x\\xf4y"'],
  ['x\u00f5y', '"x\\xf5y"'],
  ['x\u00f6y', '"x\\xf6y"'],
  ['x\u00f7y', '"x\\xf7y"'],
  ['x\u00f8y', '"x\\xf8y"'],
  ['x\u00f9y', '"x\\xf9y"'],
  ['x\u00fay', '"x\\xfay"'],
  ['x\u00fby', '"x\\xfby"'],
  ['x\u00fcy', '"x\\xfcy"'],
  ['x\u00fdy', '"x\\xfdy"'],
  ['x\u00fey', '"x\\xfey"'],
  ['x\u00ffy', '"x\\xffy"'],
  ['\u00c3\u00a9', '"\u00c3\u00a9"'],
  ['\u00e6\u0097\u00a5\u00e6\u009c\u00ac', '"\u00e6\u0097\u00a5\u00e6\u009c\u00ac"'],
  ['\u00c2\u00ad', '"\\u00ad"'],
  ['\u00c2\u00a0', '"\\u00a0"'],
  ['\u00e2\u0080\u00a8', '"\\u2028"'],
  ['\u00f0\u009f\u0098\u0080', '"\u00f0\u009f\u0098\u0080"'],
  ['\u00f3\u00a0\u0080\u0081', '"\\U000e0001"'],
  ['\u00e2\u0080\u008b', '"\\u200b"'],
  ['\u00ef\u00bf\u00bd', '"\u00ef\u00bf\u00bd"'],
  ['\u00ef\u00bb\u00bf', '"\\ufeff"'],
  ['\u00f4\u008f\u00bf\u00bf', '"\\U0010ffff"'],
  ['\u00cc\u0081', '"\u00cc\u0081"'],
  ['\u00ee\u0080\u0080', '"\\ue000"'],
  ['\u00e3\u0080\u0080', '"\\u3000"'],
  ['\u00ed\u00a0\u0080', '"\\xed\\xa0\\x80"'],
  ['\u00c0\u0080', '"\\xc0\\x80"'],
  ['\u00f4\u0090\u0080\u0080', '"\\xf4\\x90\\x80\\x80"'],
  ['\u00e6\u0097', '"\\xe6\\x97"'],
  ['\u00e6\u0097x', '"\\xe6\\x97x"'],
  ['\u00f0\u009f\u0098', '"\\xf0\\x9f\\x98"'],
  ['\u00f8\u0088\u0080\u0080\u0080', '"\\xf8\\x88\\x80\\x80\\x80"'],
  ['\u00cd\u00b8', '"\\u0378"'],
  ['\u00f0\u009f\u00ab\u00a9', '"\u00f0\u009f\u00ab\u00a9"'],
];

test.each(QUOTED)('%j is quoted as %j', (subject, quoted) => {
  expect(goQuote(subject)).toBe(quoted);
});

test('quotes any bytes without loss of what is printable', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      const subject = Buffer.from(bytes).toString('latin1');
      const quoted = goQuote(subject);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: that there are none is the point
      expect(quoted).not.toMatch(/[\x00-\x1f\x7f]/);
      expect(quoted.startsWith('"') && quoted.endsWith('"')).toBe(true);
      const ascii = subject.replace(/[^ !#-[\]-~]/g, '');
      expect(quoted.replace(/\\(?:x..|u....|U........|.)/g, '').replace(/[^ !#-[\]-~]/g, '')).toBe(ascii);
    }),
    { seed: 20_152, numRuns: 2000 },
  );
});

describe('texts', () => {
  test('of permissions', () => {
    expect(publishViolation('a"b')).toBe('Permissions Violation for Publish to "a\\"b"');
    expect(publishReplyViolation('_R_.x')).toBe('Permissions Violation for Publish with Reply of "_R_.x"');
    expect(subscriptionViolation('d.x', null)).toBe('Permissions Violation for Subscription to "d.x"');
    expect(subscriptionViolation('d.x', 'q')).toBe(
      'Permissions Violation for Subscription to "d.x" using queue "q"',
    );
    expect(subscriptionTokensViolation('a.b')).toBe(
      'Permissions Violation for Subscription to "a.b", too many tokens',
    );
    expect(removedSubscriptionViolation('a', null, '1')).toBe(
      'Permissions Violation for Subscription to "a" (sid "1")',
    );
    expect(removedSubscriptionViolation('a', 'q', '1')).toBe(
      'Permissions Violation for Subscription to "a" using queue "q" (sid "1")',
    );
  });

  test('become protocol lines', () => {
    expect(errLine(ERR.staleConnection)).toBe("-ERR 'Stale Connection'\r\n");
  });
});

test('nothing is written behind a failed read or write', () => {
  const unflushed = Object.values(CLOSE_REASON).filter((reason) => !flushesOnClose(reason));
  expect(unflushed.sort()).toEqual([
    'Read Error',
    'Slow Consumer (Pending Bytes)',
    'Slow Consumer (Write Deadline)',
    'TLS Handshake Failure',
    'Write Error',
  ]);
});
