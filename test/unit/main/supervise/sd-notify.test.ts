import { afterEach, describe, expect, test, vi } from 'vitest';
import {
  createNotifier,
  type NotifyEnvironment,
  watchdogIntervalMs,
} from '../../../../src/main/supervise/sd-notify.ts';
import { canReceiveDatagrams, spawnDatagramReceiver } from '../datagram-receiver.ts';

afterEach(() => {
  vi.useRealTimers();
});

function recordingEnvironment(errno = 0) {
  const sent: string[] = [];
  const failures: string[] = [];
  const environment: NotifyEnvironment = {
    pid: 7,
    monotonicMicros: () => 123n,
    onFailure: (reason) => failures.push(reason),
    open: async (path) => {
      sent.push(`open ${path}`);
      return {
        send(bytes) {
          sent.push(Buffer.from(bytes).toString());
          return errno;
        },
        close() {
          sent.push('close');
        },
      };
    },
  };
  return { sent, failures, environment };
}

describe('notifications', () => {
  test('tell every step of a life', async () => {
    const { sent, environment } = recordingEnvironment();
    const variables: NodeJS.ProcessEnv = { NOTIFY_SOCKET: '/run/n', HOME: '/' };
    const notifier = await createNotifier(variables, environment);
    notifier.ready('Listening\non 4222');
    notifier.reloading();
    notifier.status('3 connections');
    notifier.extendTimeout(1500.5);
    notifier.stopping('lame duck');
    notifier.close();
    notifier.status('after the end');
    expect(sent).toEqual([
      'open /run/n',
      'READY=1\nSTATUS=Listening on 4222\nMAINPID=7',
      'RELOADING=1\nMONOTONIC_USEC=123',
      'STATUS=3 connections',
      'EXTEND_TIMEOUT_USEC=1500500',
      'STOPPING=1\nSTATUS=lame duck',
      'close',
    ]);
    expect(variables).toEqual({ HOME: '/' });
  });

  test('without systemd nothing is opened', async () => {
    const { sent, environment } = recordingEnvironment();
    (await createNotifier({}, environment)).ready('x');
    expect(sent).toEqual([]);
  });

  test('failures are told once and stop nothing', async () => {
    const { sent, failures, environment } = recordingEnvironment(111);
    const notifier = await createNotifier({ NOTIFY_SOCKET: '/run/n' }, environment);
    notifier.ready('x');
    notifier.status('y');
    expect([sent.length, failures]).toEqual([3, ['errno 111']]);
    environment.open = () => Promise.reject(new Error('no socket'));
    (await createNotifier({ NOTIFY_SOCKET: '/run/n' }, environment)).ready('x');
    expect(failures).toEqual(['errno 111', 'no socket']);
  });

  test.skipIf(!canReceiveDatagrams)('reach a real socket, also an abstract one', async () => {
    const path = `@natsd-notify-test-${process.pid}`;
    const receiver = spawnDatagramReceiver(path);
    await receiver.ready;
    const { failures, environment } = recordingEnvironment();
    delete environment.open;
    const notifier = await createNotifier({ NOTIFY_SOCKET: path }, environment);
    notifier.ready('up');
    expect(await receiver.messages(1)).toEqual(['READY=1\nSTATUS=up\nMAINPID=7']);
    expect(failures).toEqual([]);
    notifier.close();
    receiver.stop();
  });
});

describe('the watchdog', () => {
  test.each<[NodeJS.ProcessEnv, number]>([
    [{}, 0],
    [{ WATCHDOG_USEC: '30000000' }, 15_000],
    [{ WATCHDOG_USEC: '30000000', WATCHDOG_PID: '7' }, 15_000],
    [{ WATCHDOG_USEC: '30000000', WATCHDOG_PID: '8' }, 0],
    [{ WATCHDOG_USEC: 'often' }, 0],
    [{ WATCHDOG_USEC: '99999999999999' }, 2 ** 31 - 1],
  ])('%j asks for a sign of life every %d ms', (variables, intervalMs) => {
    expect(watchdogIntervalMs(variables, 7)).toBe(intervalMs);
  });

  test('gets its signs while the server is alive', async () => {
    vi.useFakeTimers();
    const { sent, environment } = recordingEnvironment();
    const variables = { NOTIFY_SOCKET: '/run/n', WATCHDOG_USEC: '2000000', WATCHDOG_PID: '7' };
    const notifier = await createNotifier(variables, environment);
    let isAlive = true;
    notifier.startWatchdog(() => isAlive);
    vi.advanceTimersByTime(2500);
    isAlive = false;
    vi.advanceTimersByTime(5000);
    notifier.close();
    expect(sent).toEqual(['open /run/n', 'WATCHDOG=1', 'WATCHDOG=1', 'close']);
  });
});
