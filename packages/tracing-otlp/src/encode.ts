/**
 * Messages of OTLP, the OpenTelemetry protocol 1.x, as protobuf.
 *
 * @module
 */
import { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";
import type { EndedSpan, SpanAttributes, SpanKind, SpanResource } from "@ctrd/core/tracing";

/** Tags: number of the field, and its type on the wire. */
const varint = (field: number): number => field << 3;
const fixed64 = (field: number): number => (field << 3) | 1;
const bytes = (field: number): number => (field << 3) | 2;

const kinds: Readonly<Record<SpanKind, number>> = { internal: 1, server: 2, client: 3 };
const statusError = 2;

/** An `ExportTraceServiceRequest` with these spans. */
export function encodeExport(spans: readonly EndedSpan[], resource: SpanResource): Uint8Array {
  const writer = new BinaryWriter();
  writer.uint32(bytes(1)).fork();
  writer.uint32(bytes(1)).fork();
  writeAttributes(writer, 1, resource);
  writer.join();
  writer.uint32(bytes(2)).fork();
  writer.uint32(bytes(1)).fork();
  writer.uint32(bytes(1)).string("ctrd");
  writer.join();
  for (const span of spans) {
    writer.uint32(bytes(2)).fork();
    writeSpan(writer, span);
    writer.join();
  }
  return writer.join().join().finish();
}

function writeSpan(writer: BinaryWriter, span: EndedSpan): void {
  const { context, parentId, name, kind, startNs, endNs, attributes, error } = span;
  writer.uint32(bytes(1)).bytes(Buffer.from(context.traceId, "hex"));
  writer.uint32(bytes(2)).bytes(Buffer.from(context.spanId, "hex"));
  if (context.state !== "") writer.uint32(bytes(3)).string(context.state);
  if (parentId !== "") writer.uint32(bytes(4)).bytes(Buffer.from(parentId, "hex"));
  writer.uint32(bytes(5)).string(name);
  writer.uint32(varint(6)).int32(kinds[kind]);
  writer.uint32(fixed64(7)).fixed64(startNs);
  writer.uint32(fixed64(8)).fixed64(endNs);
  writeAttributes(writer, 9, attributes);
  if (error === undefined) return;
  writer.uint32(bytes(15)).fork();
  writer.uint32(bytes(2)).string(error);
  writer.uint32(varint(3)).int32(statusError);
  writer.join();
}

function writeAttributes(writer: BinaryWriter, field: number, attributes: SpanAttributes): void {
  for (const [key, value] of Object.entries(attributes)) {
    writer.uint32(bytes(field)).fork();
    writer.uint32(bytes(1)).string(key);
    writer.uint32(bytes(2)).fork();
    writeValue(writer, value);
    writer.join().join();
  }
}

function writeValue(writer: BinaryWriter, value: SpanAttributes[string]): void {
  if (typeof value === "string") writer.uint32(bytes(1)).string(value);
  else if (typeof value === "boolean") writer.uint32(varint(2)).bool(value);
  else if (typeof value === "bigint" || Number.isSafeInteger(value)) writer.uint32(varint(3)).int64(value);
  else writer.uint32(fixed64(4)).double(value);
}

/** What an `ExportTraceServiceResponse` says was not taken; undefined when all was. */
export function rejectionIn(answer: Uint8Array): string | undefined {
  let text: string | undefined;
  eachField(answer, 1, (partial) => {
    eachField(partial, 2, (message) => (text = Buffer.from(message).toString()));
  });
  return text;
}

function eachField(message: Uint8Array, wanted: number, take: (value: Uint8Array) => void): void {
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === wanted && type === 2) take(reader.bytes());
    else reader.skip(type);
  }
}
