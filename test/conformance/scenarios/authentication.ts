/** Scenarios: users, tokens, bcrypt, time-outs, `no_auth_user`, accounts (spec: auth-accounts §2–5, §8). */
import { connectLine, pub, type Scenario, type ScenarioBuilder, scenario } from '../scenario.ts';

function login(name: string, config: Scenario['config'], fields: Record<string, unknown>): Scenario {
  return scenario(`login: ${name}`, config, (s) => s.client('a', fields));
}

const pw = (user: string): Record<string, unknown> => ({ user, pass: 'pw' });

function firstBytes(name: string, bytes: string): Scenario {
  return scenario(`before login: ${name}`, 'single-user', (s) => s.open('a').send('a', bytes));
}

function twoAccounts(s: ScenarioBuilder): void {
  s.client('a', pw('a')).client('b', pw('b')).client('c', pw('a2'));
}

export const authentication: Scenario[] = [
  login('single user', 'single-user', { user: 'derek', pass: 'pa ss' }),
  login('single user in verbose mode', 'single-user', { user: 'derek', pass: 'pa ss', verbose: true }),
  login('single user, wrong password', 'single-user', { user: 'derek', pass: 'nope' }),
  login('single user, no password', 'single-user', { user: 'derek' }),
  login('single user, no credentials', 'single-user', {}),
  login('single user, wrong user', 'single-user', { user: 'Derek', pass: 'pa ss' }),
  login('single user, a token', 'single-user', { auth_token: 'derek' }),
  login('token', 'token', { auth_token: 'T0k3n' }),
  login('wrong token', 'token', { auth_token: 't0k3n' }),
  login('token as password', 'token', { user: 'T0k3n', pass: 'T0k3n' }),
  login('no token', 'token', {}),
  login('bcrypt', 'bcrypt', { user: 'hashed', pass: 's3cret' }),
  login('bcrypt, wrong password', 'bcrypt', { user: 'hashed', pass: 'secret' }),
  login('bcrypt, the hash as password', 'bcrypt', {
    user: 'hashed',
    pass: '$2b$04$iu90ZQACsct8h1xHhwtXruT/BPWuXM45axXgLNdN.rEb8n1b5poaK',
  }),
  login('plain beside bcrypt', 'bcrypt', { user: 'plain', pass: 's3cret' }),
  login('unknown user', 'bcrypt', { user: 'nobody', pass: 's3cret' }),
  login('prototype name as user', 'bcrypt', { user: '__proto__', pass: 's3cret' }),
  login('legacy account field', 'accounts', { ...pw('a'), account: 'A' }),
  login('unknown protocol', 'accounts', { ...pw('a'), protocol: 3 }),
  login('account user', 'accounts', pw('a')),
  login('account user, wrong password', 'accounts', { user: 'a', pass: 'x' }),
  login('account without credentials', 'accounts', {}),
  login('allowed connection type', 'accounts', pw('std')),
  login('connection type not allowed', 'accounts', pw('ws')),
  firstBytes('PING', 'PING\r\n'),
  firstBytes('SUB', 'SUB foo 1\r\n'),
  firstBytes('PUB', pub('foo', 'x')),
  firstBytes('empty line', '\r\n'),
  firstBytes('garbage', 'xyz\r\n'),
  firstBytes('wrong JSON', 'CONNECT {\r\n'),
  firstBytes('lower-case connect', 'connect {"verbose":false,"user":"derek","pass":"pa ss"}\r\n'),
  firstBytes('unknown operation by C', 'CAT\r\n'),
  scenario('operations in the segment of CONNECT', 'single-user', (s) =>
    s
      .open('a')
      .send('a', `${connectLine({ user: 'derek', pass: 'pa ss' })}SUB seg 1\r\n${pub('seg', 'm')}`)
      .open('b')
      .send('b', `${connectLine({ user: 'derek', pass: 'no' })}SUB seg 1\r\n${pub('seg', 'm')}`),
  ),
  scenario('operations in the segment of a bcrypt CONNECT', 'bcrypt', (s) =>
    s
      .open('a')
      .send('a', `${connectLine({ user: 'hashed', pass: 's3cret' })}SUB seg 1\r\n${pub('seg', 'm')}`)
      .open('b')
      .send('b', `${connectLine({ user: 'hashed', pass: 'no' })}SUB seg 1\r\n${pub('seg', 'n')}`),
  ),
  scenario('authentication timeout', 'auth-timeout', (s) => s.open('a').closed('a')),
  scenario('authentication timeout with half a CONNECT', 'auth-timeout', (s) =>
    s.open('a').raw('a', 'CONNECT {"user"').closed('a'),
  ),
  scenario('CONNECT in time', 'auth-timeout', (s) => s.client('a', pw('derek'))),
  scenario('no_auth_user', 'no-auth-user', (s) =>
    s.client('a').send('a', `${pub('g.x', 'm')}${pub('x', 'm')}`),
  ),
  scenario('no_auth_user before CONNECT', 'no-auth-user', (s) =>
    s
      .open('a')
      .send('a', 'SUB g.early 1\r\n')
      .send('a', pub('g.early', 'm') + pub('x', 'm')),
  ),
  scenario('no_auth_user with credentials of another', 'no-auth-user', (s) =>
    s.client('a', pw('admin')).send('a', `SUB x 1\r\n${pub('x', 'm')}`),
  ),
  scenario('no_auth_user with wrong credentials', 'no-auth-user', (s) =>
    s.client('a', { user: 'guest', pass: 'x' }),
  ),
  scenario('no_auth_user with a token', 'no-auth-user', (s) => s.client('a', { auth_token: 'x' })),
  scenario('second CONNECT as another user', 'accounts', (s) =>
    s
      .client('a', pw('a'))
      .client('b', pw('b'))
      .send('a', 'SUB iso.second 1\r\n')
      .send('a', connectLine(pw('b')))
      .send('b', pub('iso.second', '1'))
      .send('a', 'SUB iso.second 1\r\n')
      .send('b', pub('iso.second', '2')),
  ),
  scenario('second CONNECT with a wrong password', 'accounts', (s) =>
    s.client('a', pw('a')).send('a', connectLine({ user: 'a', pass: 'x' })),
  ),
  scenario('accounts are isolated', 'accounts', (s) => {
    twoAccounts(s);
    s.send('a', 'SUB iso.> 1\r\nSUB > 2\r\n')
      .send('b', 'SUB iso.> 1\r\n')
      .send('b', pub('iso.x', 'from b'))
      .send('c', pub('iso.x', 'from a2'));
  }),
  scenario('queues of one name in two accounts', 'accounts', (s) => {
    twoAccounts(s);
    s.send('a', 'SUB isoq.x q 1\r\n')
      .send('b', 'SUB isoq.x q 1\r\n')
      .send('c', pub('isoq.x', 'm'))
      .send('b', pub('isoq.x', 'n'));
  }),
  scenario('no responders within one account', 'accounts', (s) =>
    s
      .client('a', { ...pw('a'), no_responders: true })
      .client('b', pw('b'))
      .send('b', 'SUB isonr.svc 1\r\n')
      .send('a', 'SUB isonr.in 1\r\n')
      .send('a', pub('isonr.svc', 'q', 'isonr.in')),
  ),
  scenario('account connection limit', 'accounts', (s) =>
    s.client('a', pw('conn')).client('b', pw('conn')).send('a', 'PING\r\n'),
  ),
  scenario('account subscription limit', 'accounts', (s) =>
    s.client('a', { ...pw('subs'), verbose: true }).send('a', 'SUB a 1\r\nSUB b 2\r\nSUB c 3\r\n'),
  ),
  scenario('account payload limit', 'accounts', (s) =>
    s.client('a', pw('pay')).send('a', pub('x', '0123456789')).send('a', pub('x', '0123456789a')),
  ),
  scenario('account payload unlimited', 'accounts', (s) => s.client('a', pw('nopay'))),
  ...(['defaults', 'accounts'] as const).flatMap((config) => [
    scenario(`default permissions (${config})`, config, (s) =>
      s
        .client('a', { ...pw('dflt'), verbose: true })
        .send('a', pub('ok.x', 'm') + pub('own.x', 'm'))
        .send('a', 'SUB ok.x 1\r\nSUB ok.no 2\r\nSUB other 3\r\n'),
    ),
    scenario(`default permissions do not apply beside own ones (${config})`, config, (s) =>
      s
        .client('a', { ...pw('own'), verbose: true })
        .send('a', pub('ok.x', 'm') + pub('own.x', 'm'))
        .send('a', 'SUB ok.x 1\r\nSUB ok.no 2\r\nSUB other 3\r\n'),
    ),
  ]),
];
