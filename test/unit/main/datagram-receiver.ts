import { spawn, spawnSync } from 'node:child_process';

export const canReceiveDatagrams = process.platform === 'linux' && spawnSync('python3', ['-V']).status === 0;

/** A datagram socket in Python: Node has none, and the code under test should not test itself. `@` is an abstract name. */
export function spawnDatagramReceiver(path: string) {
  const child = spawn(
    'python3',
    [
      '-u',
      '-c',
      'import json,socket,sys\n' +
        's=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM)\ns.bind(sys.argv[1].replace("@",chr(0),1))\nprint("ready")\n' +
        'while True: print(json.dumps(s.recv(65536).decode()))',
      path,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  let lines: string[] = [];
  let partial = '';
  let onLine = (): void => {};
  child.stdout.on('data', (chunk) => {
    const parts = (partial + chunk).split('\n');
    partial = parts.pop()!;
    lines.push(...parts);
    onLine();
  });
  const waitFor = (count: number): Promise<string[]> =>
    new Promise((resolve) => {
      onLine = () => {
        if (lines.length >= count) resolve(lines);
      };
      onLine();
    });
  const ready = waitFor(1).then(() => {
    lines = [];
  });
  return {
    ready,
    messages: async (count: number) => (await waitFor(count)).map((line) => JSON.parse(line) as string),
    stop: () => child.kill(),
  };
}
