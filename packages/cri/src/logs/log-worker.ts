/** The thread that reads what containers say and writes it into their logs. */
import { parentPort } from "node:worker_threads";
import { errnoOf, internal, messageOf } from "@ctrd/core/errors";
import type { LogFields, Logger } from "@ctrd/core/log";
import { silentLogger } from "@ctrd/core/log";
import type { FromLogThread, LogCall, LogLevel, ToLogThread } from "./log-protocol.ts";
import { OutputPump } from "./output-pump.ts";

const port = parentPort;
if (port === null) throw internal("log-worker is a worker thread");
const send = (message: FromLogThread, transfer: ArrayBuffer[] = []): void => port.postMessage(message, transfer);
const pumps = new Map<number, OutputPump>();

function logger(id: number): Logger {
  const level = (name: LogLevel) => (fields: LogFields, message: string) =>
    send({ type: "log", id, level: name, fields, message });
  return { ...silentLogger, debug: level("debug"), info: level("info"), warn: level("warn"), error: level("error") };
}

async function handle(call: LogCall): Promise<unknown> {
  if (call.type === "stop") {
    for (const each of pumps.values()) each.close();
    return void (await Promise.all([...pumps.values()].map(({ ended }) => ended)));
  }
  const { id } = call;
  if (call.type === "open") {
    const pump = await OutputPump.open(call.outputs, {
      output: (name, chunk) => send({ type: "output", id, name, chunk }, [chunk.buffer]),
      log: logger(id),
    });
    pumps.set(id, pump);
    void pump.ended.then(() => {
      pumps.delete(id);
      send({ type: "ended", id });
    });
    return undefined;
  }
  const pump = pumps.get(id);
  if (call.type === "progress") return pump?.progress ?? { bytes: 0, waiting: false };
  if (call.type === "watch") return pump?.watch(call.watched);
  return pump?.reopen();
}

async function answer(message: LogCall & { readonly call: number }): Promise<void> {
  const { call } = message;
  try {
    send({ type: "reply", call, value: await handle(message) });
  } catch (error) {
    send({ type: "failure", call, error: { message: messageOf(error), code: errnoOf(error) } });
  }
}

port.on("message", (message: ToLogThread) => {
  if (message.call !== undefined) void answer(message);
  else if (message.type === "taken") pumps.get(message.id)?.taken(message.bytes);
  else pumps.get(message.id)?.close();
});
