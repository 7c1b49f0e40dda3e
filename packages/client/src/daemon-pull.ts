/**
 * Pulls that the daemon does itself, through its Transfer service: the bytes come to it without a way through this
 * process.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { ImageStore } from "@ctrd/api/types/transfer/imagestore";
import { Progress } from "@ctrd/api/types/transfer/progress";
import { AuthRequest, AuthResponse, AuthType, OCIRegistry } from "@ctrd/api/types/transfer/registry";
import type { CallContext } from "@ctrd/core/context";
import { withSignal } from "@ctrd/core/context";
import { canceled } from "@ctrd/core/errors";
import type { Platform } from "@ctrd/core/records";
import type { ProgressListener, TransferStage } from "@ctrd/core/remotes";
import type { NamedStream } from "@ctrd/core/streaming";
import { isProtoAny, protoAny } from "@ctrd/core/typeurl";
import type { CredentialSource } from "@ctrd/registry";
import type { TransferClient } from "@ctrd/services";
import type { Client } from "./client.ts";
import { reported } from "./errors.ts";
import type { Image } from "./image.ts";
import type { Abortable, LabelValues } from "./options.ts";
import { labelsOf } from "./options.ts";

/** Options of {@link Client.pullByDaemon}. */
export interface DaemonPullOptions extends Abortable {
  /** What is pulled of an index; the best for the client's platform when absent, `all` for everything. */
  readonly platforms?: readonly Platform[] | "all";
  /** Whether the layers are unpacked, which they are unless this is false. */
  readonly unpack?: boolean;
  /** Where they are unpacked; the namespace's default when absent. */
  readonly snapshotter?: string;
  /** Labels of the image. */
  readonly labels?: LabelValues;
  /** Credentials for the hosts that the daemon asks; anonymous when absent. */
  readonly credentials?: CredentialSource;
  /** A directory of `hosts.toml` files on the daemon's machine; those of its configuration when absent. */
  readonly hostsDirectory?: string;
  /** Speak HTTP without TLS. */
  readonly plainHttp?: boolean;
  readonly progress?: ProgressListener;
}

const prefix = "containerd.types.transfer.";

/** Pulls through the Transfer service. @throws ContainerdError `not-implemented` when the daemon has none */
export async function pullByDaemon(client: Client, reference: string, options: DaemonPullOptions): Promise<Image> {
  const outer = client.context(options);
  // The streams end with the transfer, however it ends.
  const ending = new AbortController();
  const ctx = withSignal(outer, ending.signal);
  const { transferService: transfers } = client.services;
  return reported(`pull ${reference}`, outer.signal, async () => {
    const progress = await listen(ctx, transfers, reference, options.progress);
    try {
      const source = OCIRegistry.create({ reference, resolver: await resolverOf(ctx, transfers, options) });
      const destination = await imageStoreOf(client, reference, options);
      await transfers.transfer(
        outer,
        protoAny(`${prefix}OCIRegistry`, OCIRegistry.encode(source).finish()),
        protoAny(`${prefix}ImageStore`, ImageStore.encode(destination).finish()),
        { progressStream: progress.id },
      );
      await progress.ended;
    } finally {
      ending.abort(canceled(`streams of the pull of ${reference}`));
    }
    return client.getImage(reference, options);
  });
}

async function imageStoreOf(client: Client, name: string, options: DaemonPullOptions): Promise<ImageStore> {
  const { platforms = [client.platform], unpack = true } = options;
  const wanted = platforms === "all" ? [] : [...platforms];
  const snapshotter = options.snapshotter ?? (await client.defaultSnapshotter(options));
  const unpacked = wanted.length === 0 ? [client.platform] : wanted;
  return ImageStore.create({
    name,
    labels: labelsOf(options.labels),
    platforms: wanted,
    manifestLimit: platforms === "all" ? 0 : wanted.length,
    unpacks: unpack ? unpacked.map((platform) => ({ platform, snapshotter })) : [],
  });
}

async function resolverOf(
  ctx: CallContext,
  transfers: TransferClient,
  { credentials, hostsDirectory = "", plainHttp = false }: DaemonPullOptions,
): Promise<OCIRegistry["resolver"]> {
  let authStream = "";
  if (credentials !== undefined) {
    authStream = streamId("creds");
    void answerQuestions(ctx, await transfers.openStream(ctx, authStream), credentials);
  }
  const defaultScheme = plainHttp ? "http" : "";
  return { authStream, headers: new Map(), hostDir: hostsDirectory, defaultScheme, httpDebug: 0, logsStream: "" };
}

/** Gives the daemon the credentials that it asks for, until the stream ends. */
async function answerQuestions(ctx: CallContext, stream: NamedStream, credentials: CredentialSource): Promise<void> {
  try {
    for (;;) {
      const question = await stream.receive();
      if (question === undefined || !isProtoAny(question, `${prefix}AuthRequest`)) return;
      const { host } = AuthRequest.decode(question.value);
      const known = await credentials(host, ctx.signal);
      const answer = AuthResponse.create(
        known === undefined
          ? { authType: AuthType.NONE }
          : {
              authType: known.username === "" ? AuthType.REFRESH : AuthType.CREDENTIALS,
              username: known.username,
              secret: known.secret,
            },
      );
      await stream.send(protoAny(`${prefix}AuthResponse`, AuthResponse.encode(answer).finish()));
    }
  } catch (error) {
    // Without its answer the transfer would wait: it fails with the stream.
    if (!ctx.signal.aborted) ctx.log.warn({ err: error }, "cannot give the daemon credentials for a registry");
    stream.close();
  }
}

interface Listening {
  /** Of the stream; empty without a listener. */
  id: string;
  /** Resolves when everything was told. */
  ended: Promise<void>;
}

async function listen(
  ctx: CallContext,
  transfers: TransferClient,
  reference: string,
  listener: ProgressListener | undefined,
): Promise<Listening> {
  if (listener === undefined) return { id: "", ended: Promise.resolve() };
  const id = streamId("progress");
  const stream = await transfers.openStream(ctx, id);
  listener({ stage: "resolving", name: reference });
  const ended = tellAll(stream, listener);
  // Whoever waits for it hears of it; a transfer that fails first does not.
  ended.catch(() => {});
  return { id, ended };
}

async function tellAll(stream: NamedStream, listener: ProgressListener): Promise<void> {
  for (;;) {
    const message = await stream.receive();
    if (message === undefined) return;
    if (!isProtoAny(message, `${prefix}Progress`)) continue;
    const { event, name, parents, progress, total, desc, servedBy, attempts } = Progress.decode(message.value);
    const stage = stages[event];
    if (stage === undefined || name === "") continue;
    listener({
      ...{ stage, name, parents },
      ...(desc === undefined ? {} : { descriptor: desc }),
      ...(total === 0n ? {} : { offset: progress, total }),
      ...(servedBy === "" ? {} : { served: { host: servedBy, attempts: attempts.map(attemptOf) } }),
    });
  }
}

/** What containerd's words for stages mean; what is not here concerns the whole. */
const stages: Readonly<Record<string, TransferStage>> = {
  "fetching image content": "resolved",
  waiting: "waiting",
  downloading: "downloading",
  "already exists": "exists",
  complete: "complete",
  extracting: "extracting",
  extracted: "extracted",
  saved: "saved",
};

function attemptOf(text: string): { host: string; error: string } {
  const at = text.indexOf(": ");
  return { host: text.slice(0, at), error: text.slice(at + 2) };
}

/** A name that no other stream has. */
function streamId(kind: string): string {
  return `${kind}-${randomBytes(12).toString("base64url")}`;
}
