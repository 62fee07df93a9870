/**
 * Opens many connections that never log in, from a process of its own (each process has its own limit of open files).
 *
 * Arguments: port, number of connections. Prints `connected <n>` when all have received their INFO; on a line from
 * stdin it resets every connection and prints `gone`.
 */
import { connect } from 'node:net';

const [port, wanted] = process.argv.slice(2).map(Number);
/** Below the listen backlog of any server, so that no SYN is dropped and retried after a second. */
const PARALLEL = 64;
const sockets = [];
let greeted = 0;
let started = 0;

function openNext() {
  if (started === wanted) return;
  started += 1;
  const half = started % 2 === 0;
  const socket = connect({ port, host: '127.0.0.1' });
  sockets.push(socket);
  socket.on('error', (error) => {
    process.stderr.write(`connection failed: ${error.message}\n`);
    process.exit(1);
  });
  socket.once('data', () => {
    // Every second one leaves a CONNECT unfinished.
    if (half) socket.write('CONNECT {"verbose":');
    greeted += 1;
    if (greeted === wanted) process.stdout.write(`connected ${greeted}\n`);
    openNext();
  });
}

for (let index = 0; index < PARALLEL; index += 1) openNext();

process.stdin.once('data', () => {
  let left = sockets.length;
  for (const socket of sockets) {
    socket.removeAllListeners('error');
    socket.on('error', () => undefined);
    socket.on('close', () => {
      left -= 1;
      if (left === 0) process.stdout.write('gone\n');
    });
    socket.resetAndDestroy();
  }
});
