import type {
  AccountOptions,
  AuthorizationOptions,
  MappingOptions,
  MqttOptions,
  TlsOptions,
  UserOptions,
  WebsocketOptions,
} from '../../shared/base/options.ts';
import type { Position } from './conf-value.ts';
import { emptyJetStreamDraft, type JetStreamDraft } from './jetstream-block.ts';
import { emptyMqttDraft } from './mqtt-block.ts';
import type { ScalarValues } from './scalars.ts';

/** What a configuration file says, before defaults and flags: unset stays unset. */
export interface ConfigDraft {
  scalars: Partial<ScalarValues>;
  /** Host of `http`/`https`, when given there. */
  monitorHost: string | null;
  serverTags: string[];
  serverMetadata: Record<string, string>;
  featureFlags: Record<string, boolean>;
  authorization: AuthorizationOptions;
  /** The file has an `authorization` block, whatever is in it. */
  hasAuthorization: boolean;
  /** `authorization.timeout` was given. */
  hasAuthorizationTimeout: boolean;
  users: UserOptions[];
  /** User names and nkeys of all accounts and the authorization block: each may occur once. */
  identities: Set<string>;
  accounts: Map<string, AccountOptions>;
  /** Mappings of the default account. */
  mappings: MappingOptions[];
  tls: TlsOptions | null;
  jetStream: JetStreamDraft;
  /** A block without a port opens no listener. */
  websocket: WebsocketOptions | null;
  /** Said about blocks natsd doesn't act on, as far as start-up checks need it. */
  gateway: GatewayFacts | null;
  clusterName: string;
  hasLeafnodeListener: boolean;
  /** Port 0: no listener. */
  mqtt: MqttOptions;
  compressionModes: string[];
  /** Where each top-level option stands, for messages of later checks. */
  positions: Map<string, Position>;
}

export interface GatewayFacts {
  name: string;
  port: number;
  remotes: { name: string; hasUrl: boolean }[];
}

export function emptyDraft(): ConfigDraft {
  return {
    scalars: {},
    monitorHost: null,
    serverTags: [],
    serverMetadata: Object.create(null) as Record<string, string>,
    featureFlags: Object.create(null) as Record<string, boolean>,
    authorization: {
      user: '',
      password: '',
      token: '',
      timeoutMs: 0,
      proxyRequired: false,
      defaultPermissions: null,
    },
    hasAuthorization: false,
    hasAuthorizationTimeout: false,
    users: [],
    identities: new Set(),
    accounts: new Map(),
    mappings: [],
    tls: null,
    jetStream: emptyJetStreamDraft(),
    gateway: null,
    clusterName: '',
    hasLeafnodeListener: false,
    websocket: null,
    mqtt: emptyMqttDraft(),
    compressionModes: [],
    positions: new Map(),
  };
}
