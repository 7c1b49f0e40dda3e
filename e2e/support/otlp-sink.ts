/** A collector on OpenTelemetry's own messages: packages/tracing-otlp/test/sink, built by tools/setup-host.sh. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { until } from "./command.ts";
import { otlpSink } from "./peers.ts";

/** A span as it came in, ids in hexadecimal. */
export interface SinkSpan {
  readonly service: string;
  readonly protocol: string;
  readonly name: string;
  readonly kind: string;
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for a root. */
  readonly parentSpanId: string;
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly attributes: Readonly<Record<string, string>>;
  /** Message of the error that ended it. */
  readonly error: string | undefined;
}

export interface OtlpSink extends AsyncDisposable {
  /** Address of OTLP over HTTP, `<host>:<port>`. */
  readonly http: string;
  /** Address of OTLP over gRPC. */
  readonly grpc: string;
  spans(): SinkSpan[];
  /** The first span that fits, once it is there. */
  span(what: string, fits: (span: SinkSpan) => boolean): Promise<SinkSpan>;
}

interface Attribute {
  key: string;
  value: Record<string, unknown>;
}

interface Line {
  protocol: string;
  message: {
    resourceSpans?: { resource?: { attributes?: Attribute[] }; scopeSpans?: { spans?: RawSpan[] }[] }[];
  };
}

interface RawSpan {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  kind: string;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes?: Attribute[];
  status?: { code?: string; message?: string };
}

/** Starts one. @param refuse how many messages it refuses first, as one that is busy */
export async function startOtlpSink(refuse = 0): Promise<OtlpSink> {
  const child = spawn(otlpSink, ["-refuse", String(refuse)], { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const exited = once(child, "exit");
  const lines = (): string[] => output.split("\n").slice(0, -1);
  const first = await until("the collector listens", async () => lines()[0]);
  const spans = (): SinkSpan[] =>
    lines()
      .slice(1)
      .flatMap((line) => spansOf(JSON.parse(line) as Line));
  return {
    ...(JSON.parse(first) as { http: string; grpc: string }),
    spans,
    span: (what, fits) => until(`span ${what}`, async () => spans().find(fits), 30_000),
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}

function spansOf({ protocol, message }: Line): SinkSpan[] {
  return (message.resourceSpans ?? []).flatMap(({ resource, scopeSpans = [] }) => {
    const service = valuesOf(resource?.attributes)["service.name"] ?? "";
    return scopeSpans.flatMap(({ spans = [] }) => spans).map((raw) => spanOf(raw, service, protocol));
  });
}

function spanOf(raw: RawSpan, service: string, protocol: string): SinkSpan {
  return {
    service,
    protocol,
    name: raw.name,
    kind: raw.kind,
    traceId: hex(raw.traceId),
    spanId: hex(raw.spanId),
    parentSpanId: hex(raw.parentSpanId ?? ""),
    startNs: BigInt(raw.startTimeUnixNano),
    endNs: BigInt(raw.endTimeUnixNano),
    attributes: valuesOf(raw.attributes),
    error: raw.status?.code === "STATUS_CODE_ERROR" ? (raw.status.message ?? "") : undefined,
  };
}

function valuesOf(attributes: readonly Attribute[] = []): Record<string, string> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, String(Object.values(value)[0])]));
}

/** protobuf's JSON has bytes in base64. */
function hex(base64: string): string {
  return Buffer.from(base64, "base64").toString("hex");
}
