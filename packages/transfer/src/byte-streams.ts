/**
 * Bytes over named streams, with credit: the reader says how much it takes, so that neither side buffers without end.
 *
 * @module
 */
import { Data, WindowUpdate } from "@ctrd/api/types/transfer/streaming";
import { untilAborted } from "@ctrd/core/context";
import { aborted, invalidArgument } from "@ctrd/core/errors";
import type { NamedStream } from "@ctrd/core/streaming";
import { protoAny, typeName } from "@ctrd/core/typeurl";

/** What a reader grants at a time, in bytes. */
const windowSize = 64 << 10;
/** Most bytes of one message. */
const maxData = 32 << 10;

const dataType = "containerd.types.transfer.Data";
const updateType = "containerd.types.transfer.WindowUpdate";

/** The bytes that the peer sends, until it ends its side. */
export async function* readBytes(stream: NamedStream, signal: AbortSignal): AsyncGenerator<Buffer> {
  let window = windowSize;
  await grant(stream);
  for (;;) {
    const message = await receive(stream, signal);
    if (message === undefined) return;
    if (typeName(message.typeUrl) !== dataType) {
      throw invalidArgument(`byte stream: a message of type "${message.typeUrl}" among the data`);
    }
    const { data } = Data.decode(message.value);
    window -= data.length;
    if (window < 0) throw invalidArgument("byte stream: more data than was granted");
    if (window < windowSize) {
      window += windowSize;
      await grant(stream);
    }
    yield Buffer.from(data.buffer, data.byteOffset, data.length);
  }
}

async function grant(stream: NamedStream): Promise<void> {
  const update = WindowUpdate.encode({ update: windowSize }).finish();
  await stream.send(protoAny(updateType, update));
}

/**
 * Sends bytes as the peer grants them. It does not end the stream.
 *
 * @throws ContainerdError `aborted` when the peer ends its side before it has taken all
 */
export async function writeBytes(
  stream: NamedStream,
  source: AsyncIterable<Buffer>,
  signal: AbortSignal,
): Promise<void> {
  let credit = 0;
  for await (const chunk of source) {
    for (let at = 0; at < chunk.length;) {
      while (credit <= 0) credit += await nextCredit(stream, signal);
      const piece = chunk.subarray(at, at + Math.min(maxData, credit, chunk.length - at));
      await untilAborted(stream.send(protoAny(dataType, Data.encode({ data: piece }).finish())), signal);
      at += piece.length;
      credit -= piece.length;
    }
  }
}

async function nextCredit(stream: NamedStream, signal: AbortSignal): Promise<number> {
  const message = await receive(stream, signal);
  if (message === undefined) throw aborted("byte stream: the reader has left");
  if (typeName(message.typeUrl) !== updateType) {
    throw invalidArgument(`byte stream: a message of type "${message.typeUrl}" in place of credit`);
  }
  return WindowUpdate.decode(message.value).update;
}

/** The next message. A stream may stay open for longer than the call that uses it. */
export function receive(stream: NamedStream, signal: AbortSignal): ReturnType<NamedStream["receive"]> {
  return untilAborted(stream.receive(), signal);
}
