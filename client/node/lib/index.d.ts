/** Client of antom-agent: signs requests to Antom and verifies what Antom sends, without holding a key. */

/** Names to texts; a name may be given several times. `http.IncomingMessage.headersDistinct` and fetch's `Headers` fit. */
export type HeaderSource = Record<string, string | readonly string[] | undefined> | Iterable<readonly [string, string]>;

export interface AgentOptions {
  /** Of agent.sock; default: $ANTOM_AGENT_SOCKET, else /run/antom-agent/agent.sock. */
  path?: string;
  /** For each call, its repetition included, unless the call names another; default 10000. */
  timeoutMs?: number;
  /** Of your service and its version, for the agent's log. */
  name?: string;
}

interface CallOptions {
  /** `APP/sandbox` or `APP/live`. */
  profile: string;
  /** The HTTP method: `POST`. */
  method: string;
  /** Goes into the agent's log, to find this call again. */
  trace?: string;
  timeoutMs?: number;
}

export interface SignRequest extends CallOptions {
  /** Path and query. */
  uri: string;
  /** Exactly the bytes that will be sent. */
  body: Uint8Array;
  /** What shall stand in Request-Time; default: the agent's clock. */
  time?: string;
  /** For ISVs: the merchant whose authorization token goes along. */
  merchant?: string;
}

/** Send all headers and the body unchanged, to `url`, or to `uri` of the gateway you use. */
export interface Signed {
  headers: Record<string, string>;
  /** The one that is signed; it may differ from the one you gave (sandbox paths). */
  uri: string;
  /** null while the profile has no gateway. */
  url: string | null;
  version: number;
  keyVersion: number;
  /** The line of the agent's record that says who had this signed; keep it beside the payment. */
  record: string;
}

export interface VerifyMessage extends CallOptions {
  /** Of a response: path and query of the request. Of a notification: the raw request target, neither decoded nor rewritten. */
  uri: string;
  headers: HeaderSource;
  /** As it came, before any parsing. */
  body: Uint8Array;
  /** 0: any age; default: the profile's setting. */
  maxAgeMs?: number;
}

/** Proof that a message came from Antom. */
export interface Verified {
  version: number;
  time: string;
  ageMs: number;
}

export interface ExplainRequest extends CallOptions {
  kind: 'sign' | 'response' | 'notification';
  uri: string;
  body: Uint8Array;
  headers?: HeaderSource;
  time?: string;
  merchant?: string;
  maxAgeMs?: number;
}

export type AgentEvent =
  | { name: 'epoch' | 'lagged'; params: { epoch: number } }
  | { name: 'profile'; params: { profile: string; sign: string; sign_why?: string; version?: number; key_version?: number } }
  | { name: 'state'; params: { state: string; reason?: string } }
  | { name: 'draining'; params: Record<string, never> };

/** Calls to one agent, all on one connection. A lost connection, and an error of class "retry", are repeated once. */
export class AntomAgent {
  constructor(options?: AgentOptions);
  signRequest(request: SignRequest): Promise<Signed>;
  /** Rejects with AntomError for everything that is not proven to be Antom's. */
  verifyResponse(message: VerifyMessage): Promise<Verified>;
  /** Rejects with AntomError for everything that is not proven to be Antom's. Expect each notification twice. */
  verifyNotification(message: VerifyMessage): Promise<Verified>;
  /** What is signed, and which mistake explains a refusal: for people who look for a fault. */
  explain(request: ExplainRequest): Promise<Record<string, unknown>>;
  health(options?: { timeoutMs?: number }): Promise<{ state: string; reason?: string; profiles?: Array<Record<string, string>> }>;
  /** Events, the epoch in force first, on a connection of its own, until that is lost: then AntomError. */
  watch(): AsyncGenerator<AgentEvent, void, void>;
  /** Any method of the agent; its result as it came. */
  call(method: string, params: Record<string, unknown>, timeoutMs?: number): Promise<unknown>;
  /** Calls under way end with RETRY. */
  close(): void;
}

/** Why a call has no result. */
export class AntomError extends Error {
  /** The number of PROTOCOL.md section 5: decide by it where you know it. */
  readonly code: number;
  /** Its name there. */
  readonly status: string;
  /** Decide by it otherwise. */
  readonly errorClass: 'caller' | 'denied' | 'state' | 'verify' | 'retry' | 'internal' | string;
  /** A sentence: what was wrong and what is allowed. */
  readonly reason: string;
  /** The parameter at fault. */
  readonly field: string | null;
  readonly retryAfterMs: number | null;
  readonly isWorthRepeating: boolean;
}
