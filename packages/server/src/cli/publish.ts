import { Any } from "@ctrd/api/google/protobuf/any";
import { createContext } from "@ctrd/core/context";
import { openChannel, proxyEvents } from "@ctrd/services";
import { defaultPaths } from "../config/index.ts";
import type { Arguments } from "./arguments.ts";
import { UsageError } from "./arguments.ts";

/** How long publishing may take, in milliseconds. */
const publishTimeoutMs = 10_000;

/** Most bytes of an event; the daemon takes no larger message. */
const maxEventBytes = 16 * 1024 * 1024;

/** Publishes the event on standard input through a daemon; shims without ttrpc do it this way. */
export async function publish(options: Arguments): Promise<void> {
  const { topic, namespace } = options;
  if (topic === undefined || namespace === undefined) throw new UsageError("publish needs --topic and --namespace");
  const event = decodeEvent(await readInput());
  using channel = openChannel(options.address ?? `${options.state ?? defaultPaths.state}/ctrd.sock`);
  const ctx = createContext({ namespace, signal: AbortSignal.timeout(publishTimeoutMs) });
  await proxyEvents(channel).publish(ctx, topic, event);
}

async function readInput(): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxEventBytes) throw new UsageError(`the event has more than ${maxEventBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function decodeEvent(bytes: Buffer): Any {
  try {
    return Any.decode(bytes);
  } catch (error) {
    throw new UsageError("standard input is not an encoded google.protobuf.Any", { cause: error });
  }
}
