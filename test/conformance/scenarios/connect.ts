/** Scenarios: INFO and the CONNECT operation (spec §2–4, §15). */
import { connectLine, pub, type Scenario, scenario } from '../scenario.ts';

const JSON_ARGUMENTS: [string, string][] = [
  ['not JSON', 'CONNECT foo\r\n'],
  ['cut short', 'CONNECT {"verbose":false\r\n'],
  ['trailing garbage', 'CONNECT {"verbose":false} x\r\n'],
  ['trailing object', 'CONNECT {"verbose":false}{}\r\n'],
  ['array', 'CONNECT []\r\n'],
  ['string', 'CONNECT "x"\r\n'],
  ['number', 'CONNECT 1\r\n'],
  ['null', 'CONNECT null\r\n'],
  ['true', 'CONNECT true\r\n'],
  ['empty argument', 'CONNECT\r\n'],
  ['blank argument', 'CONNECT   \r\n'],
  ['empty object', 'CONNECT {}\r\n'],
  ['no space before the object', 'CONNECT{"verbose":false}\r\n'],
  ['trailing blanks', 'CONNECT {"verbose":false}  \t\r\n'],
  ['inner blanks', 'CONNECT  { "verbose" : false , "protocol" :\t1 }\r\n'],
  ['trailing comma', 'CONNECT {"verbose":false,}\r\n'],
  ['single quotes', "CONNECT {'verbose':false}\r\n"],
  ['verbose as string', 'CONNECT {"verbose":"false"}\r\n'],
  ['verbose as number', 'CONNECT {"verbose":0}\r\n'],
  ['verbose null', 'CONNECT {"verbose":null}\r\n'],
  ['echo as string', 'CONNECT {"verbose":false,"echo":"x"}\r\n'],
  ['user as number', 'CONNECT {"verbose":false,"user":1}\r\n'],
  ['name as object', 'CONNECT {"verbose":false,"name":{}}\r\n'],
  ['name null', 'CONNECT {"verbose":false,"name":null,"user":null,"protocol":null}\r\n'],
  ['protocol as string', 'CONNECT {"verbose":false,"protocol":"1"}\r\n'],
  ['protocol fraction', 'CONNECT {"verbose":false,"protocol":1.5}\r\n'],
  ['protocol 0', 'CONNECT {"verbose":false,"protocol":0}\r\n'],
  ['protocol 1', 'CONNECT {"verbose":false,"protocol":1}\r\n'],
  ['protocol 2', 'CONNECT {"verbose":false,"protocol":2}\r\n'],
  ['protocol -1', 'CONNECT {"verbose":false,"protocol":-1}\r\n'],
  ['upper-case names', 'CONNECT {"VERBOSE":false,"Pedantic":false,"PROTOCOL":1}\r\n'],
  ['duplicate names', 'CONNECT {"verbose":true,"verbose":false}\r\n'],
  ['unknown names', 'CONNECT {"verbose":false,"no_such":{"a":[1,2,{"b":null}]},"x":1e5}\r\n'],
  ['escapes', 'CONNECT {"verbose":false,"n\\u0061me":"\\ud83d\\ude00 \\"q\\""}\r\n'],
  ['bad escape', 'CONNECT {"verbose":false,"name":"\\x"}\r\n'],
  [
    'prototype names',
    'CONNECT {"verbose":false,"__proto__":{"verbose":true},"constructor":{"prototype":1}}\r\n',
  ],
  ['no_responders without headers', 'CONNECT {"verbose":false,"no_responders":true}\r\n'],
  ['no_responders with headers', 'CONNECT {"verbose":false,"no_responders":true,"headers":true}\r\n'],
  ['account', 'CONNECT {"verbose":false,"account":"A"}\r\n'],
  ['new_account', 'CONNECT {"verbose":false,"new_account":true}\r\n'],
  ['account empty', 'CONNECT {"verbose":false,"account":"","new_account":false}\r\n'],
  ['jwt without operators', 'CONNECT {"verbose":false,"jwt":"abc","nkey":"UABC","sig":"zzz"}\r\n'],
  ['credentials without auth', 'CONNECT {"verbose":false,"user":"x","pass":"y","auth_token":"z"}\r\n'],
  ['tls_required', 'CONNECT {"verbose":false,"tls_required":true}\r\n'],
  ['leaf and route names', 'CONNECT {"verbose":false,"import":{},"cluster":"c","server_id":"x"}\r\n'],
  ['invalid UTF-8', 'CONNECT {"verbose":false,"name":"\xff\xfe"}\r\n'],
  ['verbose with protocol error', 'CONNECT {"verbose":true,"protocol":7}\r\n'],
  ['pedantic and verbose', 'CONNECT {"verbose":true,"pedantic":true,"headers":true,"protocol":1}\r\n'],
];

export const connect: Scenario[] = [
  ...JSON_ARGUMENTS.map(([name, bytes]) =>
    scenario(`CONNECT: ${name}`, 'open', (s) => s.open('a').send('a', bytes)),
  ),
  scenario('operations before CONNECT are verbose and pedantic', 'open', (s) =>
    s
      .open('a')
      .send('a', 'SUB early 1\r\n')
      .send('a', pub('early', 'x'))
      .send('a', pub('early..bad', 'x'))
      .send('a', 'HPUB early 12 12\r\nNATS/1.0\r\n\r\n\r\n'),
  ),
  scenario('PING before CONNECT does not consume the INFO after the first PING', 'open', (s) =>
    s.open('a').send('a', 'PING\r\n').send('a', connectLine()).send('a', 'PING\r\n'),
  ),
  scenario('second CONNECT changes options and drops subscriptions', 'open', (s) =>
    s
      .client('a')
      .send('a', 'SUB again.x 1\r\n')
      .send('a', pub('again.x', 'one'))
      .send('a', 'CONNECT {"verbose":true}\r\n')
      .send('a', pub('again.x', 'two'))
      .send('a', 'SUB again.x 1\r\n')
      .send('a', pub('again.x', 'three')),
  ),
  scenario('second CONNECT keeps what it does not name', 'open', (s) =>
    s
      .client('a', { verbose: true, echo: false })
      .send('a', 'CONNECT {"pedantic":true}\r\nSUB keep.x 1\r\n')
      .send('a', pub('keep.x', 'own') + pub('keep..x', 'bad')),
  ),
  scenario('verbose answers', 'open', (s) =>
    s
      .client('a', { verbose: true })
      .send('a', 'SUB v.x 1\r\n')
      .send('a', pub('v.x', 'm'))
      .send('a', 'HPUB v.x 12 13\r\nNATS/1.0\r\n\r\nz\r\n')
      .send('a', 'UNSUB 1 9\r\nUNSUB 1\r\nUNSUB nosuch\r\n')
      .send('a', 'SUB v.x 1\r\nSUB v.y 1\r\nPONG\r\nPING\r\n')
      .send('a', 'SUB bad..subject 3\r\n'),
  ),
  scenario('pedantic publish subjects', 'open', (s) =>
    s
      .client('a', { pedantic: true, verbose: true })
      .send('a', 'SUB > 1\r\n')
      .send('a', pub('ped.*', 'star') + pub('ped.>', 'full') + pub('*', 'one') + pub('>', 'all'))
      .send('a', pub('ped..x', 'empty') + pub('.ped', 'lead') + pub('ped.', 'trail'))
      .send('a', pub('ped.x*', 'literal') + pub('ped.>.y', 'middle'))
      .send('a', pub('ped.ok', 'x', 'bad..reply')),
  ),
  scenario('pedantic as default of CONNECT', 'open', (s) =>
    s.open('a').send('a', 'CONNECT {"verbose":false}\r\n').send('a', pub('pd.*', 'x')),
  ),
  scenario('echo off', 'open', (s) =>
    s
      .client('a', { echo: false })
      .client('b')
      .send('a', 'SUB echo.x 1\r\nSUB echo.* q 2\r\n')
      .send('b', 'SUB echo.x 1\r\n')
      .send('a', pub('echo.x', 'mine'))
      .send('b', pub('echo.x', 'yours')),
  ),
  scenario('echo off leaves a queue to another member', 'open', (s) =>
    s
      .client('a', { echo: false })
      .client('b')
      .send('a', 'SUB eq.x workers 1\r\n')
      .send('b', 'SUB eq.x workers 1\r\n')
      .send('a', pub('eq.x', '1') + pub('eq.x', '2') + pub('eq.x', '3') + pub('eq.x', '4')),
  ),
  scenario('protocol 0 gets no INFO after the first PING', 'open', (s) =>
    s.client('a', { protocol: 0 }).send('a', 'PING\r\n'),
  ),
  scenario('INFO of a named, advertised server', 'named', (s) =>
    s.client('a', { name: 'me', lang: 'x', version: '1' }),
  ),
  scenario('INFO without headers support', 'no-headers', (s) => s.client('a', { headers: true })),
  scenario('HPUB without headers support', 'no-headers', (s) =>
    s.client('a', { headers: true }).send('a', 'HPUB x 12 12\r\nNATS/1.0\r\n\r\n\r\n'),
  ),
  scenario('no_responders without headers support', 'no-headers', (s) =>
    s.client('a', { headers: true, no_responders: true }),
  ),
];
