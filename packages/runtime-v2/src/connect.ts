/**
 * Connects to shims.
 *
 * @module
 */
import { statSync, unlinkSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { deadlineExceeded, errnoOf, notImplemented } from "@ctrd/core/errors";
import { TtrpcClient } from "@ctrd/ttrpc";
import type { Endpoint } from "./address.ts";
import { socketPath } from "./address.ts";

const firstPauseMs = 2;
const longestPauseMs = 100;

/** How long and how to try. */
export interface ConnectOptions {
  /** Time in all, in milliseconds; without, there is no limit. */
  timeoutMs?: number | undefined;
  /** Whether to wait for a socket that is not there or not served yet. */
  retry: boolean;
  signal?: AbortSignal;
}

/**
 * Connects to a shim.
 *
 * @throws ContainerdError `not-implemented` for grpc, the errors of `socketPath`, `deadline-exceeded`; the socket's
 * error (`ENOENT`, `ECONNREFUSED`) without `retry`
 */
export async function connectShim(endpoint: Endpoint, options: ConnectOptions): Promise<TtrpcClient> {
  if (endpoint.protocol !== "ttrpc") {
    throw notImplemented(
      `shim protocol "${endpoint.protocol}" at ${endpoint.address}; this daemon speaks ttrpc to shims`,
    );
  }
  const path = socketPath(endpoint.address);
  const late = options.timeoutMs === undefined ? new AbortController().signal : AbortSignal.timeout(options.timeoutMs);
  const signal = options.signal === undefined ? late : AbortSignal.any([late, options.signal]);
  for (let pause = firstPauseMs; ; pause = Math.min(pause * 2, longestPauseMs)) {
    try {
      return await TtrpcClient.connect(path, signal);
    } catch (error) {
      if (late.aborted) throw deadlineExceeded(`connect to shim at ${path}`, { cause: error });
      const code = errnoOf(error);
      if (!options.retry || (code !== "ENOENT" && code !== "ECONNREFUSED")) throw error;
    }
    await sleep(pause, undefined, { signal }).catch(() => {
      // The next attempt reports why it was aborted.
    });
  }
}

/** Removes a socket file that nobody serves. Another process may have put a new one in its place: that one stays. */
export async function removeDeadSocket(path: string): Promise<void> {
  const before = inodeOf(path);
  if (before === undefined) return;
  try {
    (await TtrpcClient.connect(path)).close();
  } catch (error) {
    const code = errnoOf(error);
    if (code !== "ECONNREFUSED" && code !== "ENOENT") throw error;
    if (code === "ECONNREFUSED" && inodeOf(path) === before) unlinkSync(path);
  }
}

function inodeOf(path: string): bigint | undefined {
  return statSync(path, { bigint: true, throwIfNoEntry: false })?.ino;
}
