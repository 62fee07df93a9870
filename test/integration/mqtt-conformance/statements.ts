/**
 * The numbered conformance statements of OASIS MQTT 3.1.1 (29 October 2014) and MQTT 5.0 (7 March 2019), Appendix B of
 * each, and why some have no test. `complete.test.ts` compares this with the tests of this folder: every statement has one
 * named after it or a reason here, and never both.
 *
 * A statement about clients has a test where the server has to do something about a client that doesn't keep it.
 */

/** By clause: the last number of its statements; those in `GAPS` were never given away. */
type Clauses = Readonly<Record<string, number>>;

const CLAUSES_3: Clauses = {
  '1.5.3': 3,
  '2.2.2': 2,
  '2.3.1': 7,
  '3.1.0': 2,
  '3.1.2': 24,
  '3.1.3': 11,
  '3.1.4': 5,
  '3.2.0': 1,
  '3.2.2': 6,
  '3.3.1': 12,
  '3.3.2': 3,
  '3.3.4': 1,
  '3.3.5': 2,
  '3.6.1': 1,
  '3.8.1': 1,
  '3.8.3': 3,
  '3-8.3': 4,
  '3.8.4': 6,
  '3.9.3': 2,
  '3.10.1': 1,
  '3.10.3': 2,
  '3.10.4': 6,
  '3.12.4': 1,
  '3.14.1': 1,
  '3.14.4': 3,
  '4.1.0': 2,
  '4.3.1': 1,
  '4.3.2': 2,
  '4.3.3': 2,
  '4.4.0': 1,
  '4.5.0': 2,
  '4.6.0': 6,
  '4.7.1': 3,
  '4.7.2': 1,
  '4.7.3': 4,
  '4.8.0': 2,
  '6.0.0': 4,
  '7.0.0': 2,
  '7.1.1': 1,
  '7.1.2': 1,
};

const CLAUSES_5: Clauses = {
  '1.5.4': 3,
  '1.5.5': 1,
  '1.5.7': 1,
  '2.1.3': 1,
  '2.2.1': 6,
  '2.2.2': 1,
  '3.1.0': 2,
  '3.1.2': 30,
  '3.1.3': 12,
  '3.1.4': 6,
  '3.2.0': 2,
  '3.2.2': 22,
  '3.3.1': 13,
  '3.3.2': 20,
  '3.3.4': 10,
  '3.4.2': 3,
  '3.5.2': 3,
  '3.6.1': 1,
  '3.6.2': 3,
  '3.7.2': 3,
  '3.8.1': 1,
  '3.8.3': 5,
  '3.8.4': 8,
  '3.9.2': 2,
  '3.9.3': 2,
  '3.10.1': 1,
  '3.10.3': 2,
  '3.10.4': 6,
  '3.11.2': 2,
  '3.11.3': 2,
  '3.12.4': 1,
  '3.14.0': 1,
  '3.14.1': 1,
  '3.14.2': 4,
  '3.14.4': 3,
  '3.15.1': 1,
  '3.15.2': 3,
  '4.1.0': 2,
  '4.2': 1,
  '4.3.1': 1,
  '4.3.2': 5,
  '4.3.3': 13,
  '4.4.0': 2,
  '4.5.0': 2,
  '4.6.0': 6,
  '4.7.0': 1,
  '4.7.1': 2,
  '4.7.2': 1,
  '4.7.3': 4,
  '4.8.2': 6,
  '4.9.0': 3,
  '4.12.0': 7,
  '4.12.1': 2,
  '4.13.1': 1,
  '4.13.2': 1,
  '6.0.0': 4,
};

/** Numbers that no statement has: of 3.1.1 the fourth of 3.8.3 is printed as 3-8.3-4. */
const GAPS: ReadonlySet<string> = new Set(['3 3-8.3-1', '3 3-8.3-2', '3 3-8.3-3', '5 2.2.1-1']);

function idsOf(version: 3 | 5, clauses: Clauses): string[] {
  const ids: string[] = [];
  for (const [clause, last] of Object.entries(clauses))
    for (let i = 1; i <= last; i++) if (!GAPS.has(`${version} ${clause}-${i}`)) ids.push(`${clause}-${i}`);
  return ids;
}

export const STATEMENTS: Readonly<Record<3 | 5, readonly string[]>> = {
  3: idsOf(3, CLAUSES_3),
  5: idsOf(5, CLAUSES_5),
};

const CLIENT = 'binds the client, and a server can not tell';
const NO_ENHANCED = 'no method of enhanced authentication is offered, so no exchange is ever begun';
const LENGTH = 'a length of two bytes can not say more';

/** Why a statement has no test. */
export const UNTESTED: Readonly<Record<3 | 5, Readonly<Record<string, string>>>> = {
  3: {
    '2.3.1-2': CLIENT,
    '2.3.1-3': CLIENT,
    '3.1.2-23': CLIENT,
    '3.14.4-1': CLIENT,
    '3.14.4-2': CLIENT,
    '4.5.0-2': CLIENT,
    '4.6.0-2': CLIENT,
    '4.7.3-3': LENGTH,
    '6.0.0-3': `${CLIENT}: nats-server takes clients that offer none, and browsers would be refused by an answer only`,
    '7.0.0-1': 'natsd opens no MQTT connections to other servers',
    '7.1.2-1': CLIENT,
  },
  5: {
    '3.1.2-20': CLIENT,
    '3.1.2-21': CLIENT,
    '3.1.2-30': `${CLIENT}; ${NO_ENHANCED}`,
    '3.2.2-4': CLIENT,
    '3.2.2-5': CLIENT,
    '3.2.2-13': 'retained messages are always there',
    '3.2.2-14': 'retained messages are always there',
    '3.2.2-18': 'Topic Alias Maximum is always announced',
    '3.2.2-21': 'Server Keep Alive is never sent',
    '3.3.2-10': CLIENT,
    '3.3.4-8': CLIENT,
    '3.15.2-2': NO_ENHANCED,
    '3.15.2-3': NO_ENHANCED,
    '4.5.0-2': CLIENT,
    '4.6.0-2': CLIENT,
    '4.7.3-3': LENGTH,
    '4.12.0-2': NO_ENHANCED,
    '4.12.0-3': NO_ENHANCED,
    '4.12.0-5': NO_ENHANCED,
    '4.12.1-1': NO_ENHANCED,
    '4.12.1-2': NO_ENHANCED,
    '6.0.0-3': `${CLIENT}: nats-server takes clients that offer none, and browsers would be refused by an answer only`,
  },
};
