/**
 * Registries as a transfer's client describes them.
 *
 * @module
 */
import type { OCIRegistry } from "@ctrd/api/types/transfer/registry";
import { AuthRequest, AuthResponse, AuthType } from "@ctrd/api/types/transfer/registry";
import type { CallContext } from "@ctrd/core/context";
import { untilAborted } from "@ctrd/core/context";
import { invalidArgument } from "@ctrd/core/errors";
import type { Resolver } from "@ctrd/core/remotes";
import type { NamedStream, StreamManager } from "@ctrd/core/streaming";
import { isProtoAny, protoAny } from "@ctrd/core/typeurl";
import type { CredentialSource } from "@ctrd/registry";
import { receive } from "./byte-streams.ts";

/** A resolver with the hosts, headers and credentials of a client. */
export async function resolverFor(
  ctx: CallContext,
  { reference, resolver }: OCIRegistry,
  streams: StreamManager,
  hostsDirectories: readonly string[],
): Promise<Resolver> {
  // The HTTP client is loaded with the first transfer: it would take a tenth of the daemon's start.
  const { createAuthorizer, createRegistryResolver, hostsFromDirectories } = await import("@ctrd/registry");
  const { authStream = "", hostDir = "", defaultScheme = "", headers = new Map<string, string>() } = resolver ?? {};
  if (defaultScheme !== "" && defaultScheme !== "http" && defaultScheme !== "https") {
    throw invalidArgument(`transfer: the scheme "${defaultScheme}" is not http or https`);
  }
  const credentials = authStream === "" ? undefined : askClient(streams.get(ctx, authStream), reference);
  const anonymous: CredentialSource = () => Promise.resolve(undefined);
  const hosts = hostsFromDirectories({
    directories: hostDir === "" ? hostsDirectories : [hostDir],
    log: ctx.log,
    authorizer: (host) => createAuthorizer(host, credentials ?? anonymous),
    headers: Object.fromEntries(headers),
    ...(defaultScheme === "" ? {} : { defaultScheme }),
  });
  return createRegistryResolver({ hosts });
}

/** Asks the client for credentials: one question at a time. */
function askClient(stream: NamedStream, reference: string): CredentialSource {
  let last: Promise<unknown> = Promise.resolve();
  return (host, signal) => {
    const answer = last.then(() => ask(stream, host, reference, signal));
    last = answer.catch(() => {});
    return answer;
  };
}

async function ask(
  stream: NamedStream,
  host: string,
  reference: string,
  signal: AbortSignal,
): ReturnType<CredentialSource> {
  signal.throwIfAborted();
  const question = AuthRequest.create({ host, reference });
  const sent = protoAny("containerd.types.transfer.AuthRequest", AuthRequest.encode(question).finish());
  await untilAborted(stream.send(sent), signal);
  const message = await receive(stream, signal);
  if (!isProtoAny(message, "containerd.types.transfer.AuthResponse")) return undefined;
  const { authType, username, secret } = AuthResponse.decode(message.value);
  if (authType === AuthType.CREDENTIALS) return { username, secret };
  return authType === AuthType.REFRESH ? { username: "", secret } : undefined;
}
