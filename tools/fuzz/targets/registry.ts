/**
 * Answers of a registry and of its token server, over HTTP.
 *
 * @module
 */
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createContext } from "@ctrd/core/context";
import { digestOf, isDigest } from "@ctrd/core/digests";
import { kindOf } from "@ctrd/core/errors";
import { createAuthorizer, createRegistryResolver, registryHosts } from "@ctrd/registry";
import { allowLoopbackOnly } from "../loopback-only.ts";
import { mutateJson } from "../mutate-json.ts";
import type { OpenTarget, Target } from "../target.ts";
import { ensure } from "../target.ts";

/** One answer of the server; a request gets the next. */
interface Answer {
  readonly status?: unknown;
  readonly headers?: unknown;
  readonly body?: unknown;
}

/** Time for one input: retries of a server that fails wait longer. */
const patience = 400;
const sample = "{}";

async function openRegistry(): Promise<OpenTarget> {
  allowLoopbackOnly();
  let answers: Answer[] = [];
  let asked = 0;
  const server = createServer((request, response) => {
    const answer = answers.length === 0 ? {} : answers[asked++ % answers.length];
    reply(request, response, answer ?? {}, `127.0.0.1:${port}`);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    run: async (input) => {
      answers = answersOf(input);
      asked = 0;
      await ask(`127.0.0.1:${port}/a/b`);
    },
    close: async () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** Resolves, fetches and asks for referrers, one after the other: what one is answered does not hide the others. */
async function ask(repository: string): Promise<void> {
  const source = async (): Promise<{ username: string; secret: string }> => ({ username: "user", secret: "secret" });
  const hosts = registryHosts({ defaultScheme: "http", authorizer: (host) => createAuthorizer(host, source) });
  const resolver = createRegistryResolver({ hosts });
  const ctx = createContext({ namespace: "fuzz", signal: AbortSignal.timeout(patience) });
  const digest = digestOf(sample);
  const descriptor = { mediaType: "", digest, size: BigInt(sample.length), annotations: new Map<string, string>() };
  const attempts = [
    async () => {
      const { target } = await resolver.resolve(ctx, `${repository}:1`);
      ensure(isDigest(target.digest) && target.size >= 0n, () => `resolved ${target.digest}, ${target.size} bytes`);
    },
    async () => {
      const fetched = await (await resolver.fetcher(ctx, repository)).fetch(ctx, descriptor);
      for await (const chunk of fetched) ensure(chunk.length <= sample.length, () => `${chunk.length} bytes came`);
    },
    async () => {
      const found = (await (await resolver.fetcher(ctx, repository)).referrers?.(ctx, digest)) ?? [];
      ensure(
        found.every((one) => isDigest(one.digest)),
        () => "a referrer has no digest",
      );
    },
  ];
  const failures = (await Promise.allSettled(attempts.map((attempt) => attempt())))
    .filter((result) => result.status === "rejected")
    .map(({ reason }) => reason as unknown);
  // A status that means nothing is of no kind that is known.
  const fault = failures.find((error) => kindOf(error) === "internal" || !isNamed(error));
  if (fault !== undefined) throw fault;
}

function isNamed(error: unknown): boolean {
  return kindOf(error) !== "unknown" || (error instanceof Error && error.name === "ContainerdError");
}

function answersOf(input: Buffer): Answer[] {
  try {
    const value: unknown = JSON.parse(input.toString());
    return Array.isArray(value) ? value.filter((one) => typeof one === "object" && one !== null) : [];
  } catch {
    // It then is what the registry says.
    return [{ status: 200, headers: { "content-type": "application/json" }, body: input.toString("latin1") }];
  }
}

function reply(request: IncomingMessage, response: ServerResponse, answer: Answer, here: string): void {
  request.resume();
  const status = typeof answer.status === "number" ? answer.status : 200;
  response.statusCode = Number.isInteger(status) && status >= 200 && status <= 599 ? status : 200;
  const headers = typeof answer.headers === "object" && answer.headers !== null ? answer.headers : {};
  for (const [name, value] of Object.entries(headers)) {
    const text = String(JSON.stringify(value) ?? "")
      .replace(/^"(.*)"$/s, "$1")
      .replaceAll('\\"', '"')
      .replaceAll("$HERE", here);
    // What Node itself does not send.
    if (!/^[\w-]+$/.test(name) || /[^\t\x20-\x7e]/.test(text) || /^(?:content-length|transfer-encoding)$/i.test(name))
      continue;
    response.setHeader(name, text);
  }
  const body = typeof answer.body === "string" ? answer.body : JSON.stringify(answer.body ?? {});
  response.end(request.method === "HEAD" || [204, 304].includes(response.statusCode) ? undefined : body);
}

export const registryTargets: readonly Target[] = [
  { name: "registry-answers", mutate: mutateJson, limit: patience * 4, open: openRegistry },
];
