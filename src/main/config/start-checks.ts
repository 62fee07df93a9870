import { MQTT_INTERNAL_ACCOUNT, type ServerOptions } from '../../shared/base/options.ts';
import type { CommandFlags } from './command-line.ts';
import type { ConfigDraft } from './draft.ts';
import { formatDurationMs } from './duration.ts';
import { COMPRESSION_MODES } from './listener-rows.ts';
import { mqttProblems } from './mqtt-block.ts';
import { quote } from './quote.ts';
import { advertiseProblem } from './scalars.ts';
import { contextProblems } from './tls-material.ts';
import { websocketProblems } from './websocket-checks.ts';

/**
 * Checks that need more than one option. They run at the start and at a reload, not when a file is only checked, since a
 * file may be complete only together with flags.
 */

/** @returns one text per problem, without position: each concerns several places */
export function startProblems(
  options: ServerOptions,
  draft: ConfigDraft,
  flags: CommandFlags,
  isReload: boolean,
): string[] {
  const problems = [
    ...limitProblems(options),
    ...accountProblems(options),
    ...monitorProblems(options),
    ...tlsProblems(options),
    ...peerProblems(options, draft),
    ...mqttListenerProblems(options, draft),
    ...websocketProblems(options),
  ];
  const advertise = advertiseProblem(options.clientAdvertise);
  if (advertise !== null) {
    const what = isReload
      ? 'invalid ClientAdvertise value'
      : 'Error setting server INFO with ClientAdvertise value';
    problems.push(`${what} of ${options.clientAdvertise}, err=${advertise}`);
  }
  const hasClusterListener = ['cluster', 'cluster_listen'].some((name) => flags.features.has(name));
  if (flags.features.has('routes') && !hasClusterListener && !draft.positions.has('cluster')) {
    problems.push('solicited routes require cluster capabilities, e.g. --cluster');
  }
  return problems;
}

function mqttListenerProblems(options: ServerOptions, draft: ConfigDraft): string[] {
  const { mqtt, users, jetStream } = options;
  if (mqtt === null) return [];
  const hasPeers = ['cluster', 'gateway', 'leafnodes'].some((name) => draft.positions.has(name));
  const problems = mqttProblems(mqtt, users, jetStream !== null, hasPeers);
  if (draft.accounts.has(MQTT_INTERNAL_ACCOUNT))
    problems.push(`account name ${quote(MQTT_INTERNAL_ACCOUNT)} is reserved when mqtt is enabled`);
  if (hasPeers && jetStream === null)
    problems.push('mqtt requires JetStream: natsd keeps MQTT sessions in its own store');
  return [...problems, ...(mqtt.tls === null ? [] : contextProblems(mqtt.tls))];
}

function limitProblems(options: ServerOptions): string[] {
  const problems: string[] = [];
  const { maxPayloadBytes, maxPendingBytes, lameDuckGracePeriodMs, lameDuckDurationMs } = options;
  if (maxPayloadBytes > maxPendingBytes) {
    problems.push(`max_payload (${maxPayloadBytes}) cannot be higher than max_pending (${maxPendingBytes})`);
  }
  if (lameDuckGracePeriodMs >= lameDuckDurationMs) {
    problems.push(
      `lame duck grace period (${formatDurationMs(lameDuckGracePeriodMs)}) should be strictly lower than lame duck duration (${formatDurationMs(lameDuckDurationMs)})`,
    );
  }
  return problems;
}

function accountProblems(options: ServerOptions): string[] {
  const problems: string[] = [];
  const { systemAccount, noAuthUser, users } = options;
  if (systemAccount !== '' && !options.accounts.some((account) => account.name === systemAccount)) {
    problems.push('error resolving system account: account missing');
  }
  if (noAuthUser !== '' && users.length === 0) {
    problems.push(`no_auth_user: ${quote(noAuthUser)} present, but users/nkeys are not defined`);
  } else if (noAuthUser !== '' && !users.some((user) => user.user === noAuthUser)) {
    problems.push(
      `no_auth_user: ${quote(noAuthUser)} not present as user or nkey in authorization block or account configuration`,
    );
  }
  return problems;
}

function monitorProblems(options: ServerOptions): string[] {
  const { httpPort, httpsPort } = options.monitor;
  if (httpPort !== 0 && httpsPort !== 0) {
    return [`Can't start monitoring: can't specify both HTTP (${httpPort}) and HTTPs (${httpsPort}) ports`];
  }
  if (httpsPort !== 0 && options.tls === null) {
    return ["Can't start monitoring: TLS cert and key required for HTTPS"];
  }
  return [];
}

function tlsProblems(options: ServerOptions): string[] {
  return options.tls === null ? [] : contextProblems(options.tls);
}

/** Of blocks natsd only checks: what nats-server would refuse to start with. */
function peerProblems(options: ServerOptions, draft: ConfigDraft): string[] {
  const problems: string[] = [];
  const { gateway, clusterName } = draft;
  if (gateway !== null) {
    if (gateway.name === '') problems.push('gateway has no name');
    else if (gateway.port === 0) {
      problems.push(`gateway ${quote(gateway.name)} has no port specified (select -1 for random port)`);
    }
    for (const remote of gateway.remotes) {
      if (remote.name === '') problems.push('gateway has no name');
      else if (!remote.hasUrl) problems.push(`gateway ${quote(remote.name)} has no URL`);
    }
    if (gateway.name !== '' && clusterName !== '' && gateway.name !== clusterName) {
      problems.push('cluster name conflicts between cluster and gateway definitions');
    }
    const hasDeclaredSystemAccount = draft.accounts.has(options.systemAccount);
    if (draft.hasLeafnodeListener && !hasDeclaredSystemAccount) {
      problems.push(
        'leaf nodes and gateways (both being defined) require a system account to also be configured',
      );
    }
  }
  for (const mode of draft.compressionModes) {
    if (!COMPRESSION_MODES.includes(mode.toLowerCase())) {
      problems.push(`unsupported compression mode ${quote(mode)}`);
    }
  }
  return problems;
}
