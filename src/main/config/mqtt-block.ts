import type { MqttOptions } from '../../shared/base/options.ts';
import { emptyListener, listenerRows } from './client-listener.ts';
import { type ConfEntry, goTypeName } from './conf-value.ts';
import type { ConfigDraft } from './draft.ts';
import { OptionError } from './option-error.ts';
import { quote } from './quote.ts';
import type { OptionRow, Reader } from './reader.ts';
import { booleanRow, checkedBy, durationRow, integerRow, row, textRow } from './row.ts';
import { duration, integer, map } from './value.ts';

/** The `mqtt` block. Facts: mqtt.md §1, configuration reference §3.12. */

const MAX_ACK_PENDING_LIMIT = 65_535;
const MAX_ACK_PENDING_DEFAULT = 1024;
const ACK_WAIT_DEFAULT_MS = 30_000;
const JS_API_TIMEOUT_DEFAULT_MS = 5000;

/** What the block says before anything is set; a port of 0 is no listener. */
export function emptyMqttDraft(): MqttOptions {
  return {
    ...emptyListener(),
    ackWaitMs: ACK_WAIT_DEFAULT_MS,
    jsApiTimeoutMs: JS_API_TIMEOUT_DEFAULT_MS,
    maxAckPending: MAX_ACK_PENDING_DEFAULT,
    jsDomain: '',
    streamReplicas: 0,
    consumerMemoryStorage: false,
    consumerInactiveThresholdMs: 0,
    rejectQos2Publish: false,
    downgradeQos2Subscribe: false,
  };
}

const DELIVERY_ROWS: OptionRow<MqttOptions>[] = [
  row({
    name: 'ack_wait',
    aliases: ['ackwait'],
    type: 'duration',
    doc: 'A QoS 1 or 2 message that a 3.1.1 client has not acknowledged for so long is sent again. To a 5.0 client it is sent again when it reconnects, and only then, as that version demands. 0: the default.',
    default: '30s',
    reload: 'yes',
    read: (reader, entry, draft) => {
      draft.ackWaitMs = duration(reader, entry) || ACK_WAIT_DEFAULT_MS;
    },
  }),
  row({
    name: 'js_api_timeout',
    aliases: ['api_timeout'],
    type: 'duration',
    doc: 'How long a client waits for its session: a CONNECT that the store has not answered by then is refused (CONNACK 3, in 5.0 0x88). Acknowledgements wait as long as it takes. 0: the default.',
    default: '5s',
    read: (reader, entry, draft) => {
      draft.jsApiTimeoutMs = duration(reader, entry) || JS_API_TIMEOUT_DEFAULT_MS;
    },
  }),
  row({
    name: 'max_ack_pending',
    aliases: ['max_pending', 'max_inflight'],
    type: 'integer',
    doc: 'Unacknowledged messages per session.',
    default: '1024',
    reload: 'yes',
    read: (_reader, entry, draft) => {
      const limit = integer(entry.value);
      if (limit < 0 || limit > MAX_ACK_PENDING_LIMIT)
        throw new OptionError(`invalid value ${limit}, should in [0..65535] range`);
      draft.maxAckPending = limit === 0 ? MAX_ACK_PENDING_DEFAULT : limit;
    },
  }),
  textRow('jsDomain', {
    name: 'js_domain',
    doc: 'JetStream domain.',
  }),
  integerRow('streamReplicas', {
    name: 'stream_replicas',
    doc: 'Copies of the MQTT streams.',
    reload: 'yes',
  }),
  checkedBy('consumer_replicas', 'integer', 'Ignored.', (reader, entry) => {
    integer(entry.value);
    reader.warnUse(entry, 'consumer replicas setting ignored in this server version');
  }) as OptionRow<MqttOptions>,
  booleanRow('consumerMemoryStorage', {
    name: 'consumer_memory_storage',
    doc: 'Keep consumers in memory.',
    reload: 'yes',
  }),
  durationRow('consumerInactiveThresholdMs', {
    name: 'consumer_inactive_threshold',
    aliases: ['consumer_auto_cleanup'],
    doc: 'Ends sessions of clients that have been away for this long; 0 is never.',
    default: '0',
    reload: 'yes',
  }),
  booleanRow('rejectQos2Publish', {
    name: 'reject_qos2_publish',
    doc: 'Disconnect clients that publish at QoS 2.',
  }),
  booleanRow('downgradeQos2Subscribe', {
    name: 'downgrade_qos2_subscribe',
    doc: 'Grant QoS 1 for QoS 2 subscriptions.',
  }),
];

/** Rows of the `mqtt` block. */
export const MQTT_ROWS: OptionRow<MqttOptions>[] = [...listenerRows('mqtt', 'yes'), ...DELIVERY_ROWS];

/** Reads the `mqtt` block. */
export function readMqtt(reader: Reader, entry: ConfEntry, draft: ConfigDraft): void {
  const block = map(entry.value, `Expected mqtt to be a map, got ${goTypeName(entry.value)}`);
  reader.readBlock(block, MQTT_ROWS, draft.mqtt, { path: 'mqtt' });
}

/**
 * What nats-server refuses to start with (mqtt.md §1).
 *
 * @param hasPeers a cluster, gateway or leaf node listener or remote is configured
 */
export function mqttProblems(
  mqtt: MqttOptions,
  users: readonly { user: string }[],
  hasJetStream: boolean,
  hasPeers: boolean,
): string[] {
  const problems: string[] = [];
  if (mqtt.user !== '' && users.length > 0)
    problems.push('mqtt authentication username not compatible with presence of users/nkeys');
  if (mqtt.token !== '' && users.length > 0)
    problems.push('mqtt authentication token not compatible with presence of users/nkeys');
  if (mqtt.ackWaitMs < 0) problems.push('ack wait must be a positive value');
  if (mqtt.jsApiTimeoutMs < 0) problems.push('JS API timeout must be a positive value');
  if (!hasJetStream && !hasPeers)
    problems.push('mqtt requires JetStream to be enabled if running in standalone mode');
  const { noAuthUser } = mqtt;
  if (noAuthUser === '') return problems;
  if (users.length === 0)
    problems.push(`no_auth_user: ${quote(noAuthUser)} present, but users/nkeys are not defined`);
  else if (!users.some(({ user }) => user === noAuthUser))
    problems.push(
      `no_auth_user: ${quote(noAuthUser)} not present as user or nkey in authorization block or account configuration`,
    );
  return problems;
}
