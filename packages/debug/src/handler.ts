/**
 * The requests of the debug socket.
 *
 * @module
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:http";
import type { Socket } from "node:net";
import { pipeline } from "node:stream/promises";
import { getHeapSnapshot } from "node:v8";
import { isKind, messageOf } from "@ctrd/core/errors";
import type { Logger } from "@ctrd/core/log";
import { cpuProfile } from "./profile.ts";
import type { DebugSources } from "./state.ts";
import { dumpOf, stacksDuring } from "./state.ts";

/** Longest profile, in seconds. */
const maxSeconds = 600;

/** Answers what comes in on connections that are given to it. */
export interface DebugHandler {
  accept(connection: Socket): void;
}

/** Makes the handler of `/debug/{profile,heap,stacks,dump}`. */
export function createDebugHandler(sources: DebugSources, log: Logger): DebugHandler {
  const server = createServer((request, response) => {
    answer(request, response, sources, log).catch((error: unknown) => {
      log.warn({ path: request.url, err: messageOf(error) }, "debug request failed");
      if (!response.headersSent) response.writeHead(isKind(error, "failed-precondition") ? 409 : 500);
      response.end(`${messageOf(error)}\n`);
    });
  });
  return {
    accept: (connection) => void server.emit("connection", connection),
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  sources: DebugSources,
  log: Logger,
): Promise<void> {
  const url = new URL(request.url ?? "/", "http://debug");
  const seconds = Number(url.searchParams.get("seconds") ?? (url.pathname === "/debug/profile" ? 10 : 1));
  if (request.method !== "GET") return end(response, 405, "only GET\n");
  if (!(seconds > 0 && seconds <= maxSeconds))
    return end(response, 400, `seconds: more than 0, at most ${maxSeconds}\n`);
  const gone = new AbortController();
  response.on("close", () => gone.abort(new Error("the client has gone")));
  log.info({ path: url.pathname, ...(url.search === "" ? {} : { seconds }) }, "debug request");
  switch (url.pathname) {
    case "/debug/profile":
      return json(response, await cpuProfile(seconds, gone.signal));
    case "/debug/stacks":
      return json(response, await stacksDuring(seconds, sources, gone.signal));
    case "/debug/dump":
      return json(response, dumpOf(sources));
    case "/debug/heap":
      response.writeHead(200, { "content-type": "application/json" });
      return pipeline(getHeapSnapshot(), response);
    default:
      return end(response, 404, "known are /debug/profile, /debug/heap, /debug/stacks, /debug/dump\n");
  }
}

function json(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(value));
}

function end(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status).end(text);
}
