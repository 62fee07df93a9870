import { singleUserRows, TOKEN_ROW } from './authorization-block.ts';
import { type ConfEntry, goTypeName } from './conf-value.ts';
import { flagRow, LISTEN_ROWS } from './listener-rows.ts';
import { OptionError } from './option-error.ts';
import type { OptionRow, Reader } from './reader.ts';
import { checked, checkedBy } from './row.ts';
import { checkedTlsRow } from './tls-block.ts';
import { duration, integer, map } from './value.ts';

/** The `mqtt` block: checked, not acted on. Facts: configuration reference §3.12. */

const AUTHORIZATION_ROWS = singleUserRows([TOKEN_ROW]);
const MQTT_MAX_ACK_PENDING = 65_535;

function authorizationRow(path: string): OptionRow<unknown> {
  return checkedBy(
    ['authorization', 'authentication'],
    'map',
    'Credentials of this listener alone.',
    (reader, entry) => reader.readBlock(map(entry.value), AUTHORIZATION_ROWS, null, { path }),
    { children: AUTHORIZATION_ROWS },
  );
}

/** Rows of the `mqtt` block. */
export const MQTT_ROWS: OptionRow<unknown>[] = [
  ...LISTEN_ROWS,
  checkedTlsRow('mqtt.tls', false),
  authorizationRow('mqtt.authorization'),
  checked('no_auth_user', 'string', 'User of connections without credentials.'),
  checked(['ack_wait', 'ackwait'], 'duration', 'Wait for an acknowledgement.', '30s', 'yes'),
  checked(['js_api_timeout', 'api_timeout'], 'duration', 'Wait for JetStream.', '5s'),
  checkedBy(
    ['max_ack_pending', 'max_pending', 'max_inflight'],
    'integer',
    'Unacknowledged messages per session.',
    (_reader, entry) => {
      const limit = integer(entry.value);
      if (limit < 0 || limit > MQTT_MAX_ACK_PENDING) {
        throw new OptionError(`invalid value ${limit}, should in [0..65535] range`);
      }
    },
    { default: '1024', reload: 'yes' },
  ),
  checked('js_domain', 'string', 'JetStream domain.'),
  checked('stream_replicas', 'integer', 'Copies of the MQTT streams.', '', 'yes'),
  checkedBy('consumer_replicas', 'integer', 'Ignored.', (reader, entry) => {
    integer(entry.value);
    reader.warnUse(entry, 'consumer replicas setting ignored in this server version');
  }),
  flagRow('consumer_memory_storage', 'Keep consumers in memory.', 'yes'),
  checkedBy(
    ['consumer_inactive_threshold', 'consumer_auto_cleanup'],
    'duration',
    'Remove consumers unused for this long.',
    (reader, entry) => void duration(reader, entry),
    { reload: 'yes' },
  ),
  flagRow('reject_qos2_publish', 'Disconnect clients that publish at QoS 2.'),
  flagRow('downgrade_qos2_subscribe', 'Grant QoS 1 for QoS 2 subscriptions.'),
];

/** Checks the `mqtt` block. */
export function readMqtt(reader: Reader, entry: ConfEntry): void {
  const block = map(entry.value, `Expected mqtt to be a map, got ${goTypeName(entry.value)}`);
  reader.readBlock(block, MQTT_ROWS, null, { path: 'mqtt' });
}
