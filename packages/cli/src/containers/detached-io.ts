/**
 * The streams of containers that nobody is attached to: the logging program has them.
 *
 * @module
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Container, IoCreator } from "@ctrd/client";
import { logProgram } from "@ctrd/client";
import type { TaskStdio } from "@ctrd/core/tasks";
import { mkfifo } from "@ctrd/sys";
import { CommandFailure } from "../failure.ts";
import type { DriverOptions } from "../logs/driver-options.ts";
import { writeDriverOptions } from "../logs/driver-options.ts";
import { defaultRotation } from "../logs/log-writer.ts";
import type { RotationOptions } from "../logs/log-writer.ts";
import type { Session } from "../session.ts";
import { autoRemoveLabel, interactiveLabel, rotationLabel } from "./labels.ts";
import { programPath, selfCommand } from "./self.ts";

/** How the files of a container's log are rotated. */
export function rotationOf({ labels }: Container): RotationOptions {
  const [bytes, files] = labels.get(rotationLabel)?.split(" ").map(Number) ?? [];
  return bytes && files ? { maxBytes: bytes, maxFiles: files } : defaultRotation;
}

/** Streams for a container that is started in the background. */
export function detachedIo(session: Session, container: Container, directory: string, terminal: boolean): IoCreator {
  return async (target) => {
    const stdin = container.labels.get(interactiveLabel) === "true" ? join(directory, "stdin") : "";
    if (stdin !== "") {
      await rm(stdin, { force: true });
      mkfifo(stdin, 0o600);
    }
    writeDriverOptions(directory, { ...driverOptions(session, container), ...(stdin === "" ? {} : { stdin }) });
    const io = await logProgram(process.execPath, { [programPath("log-driver")]: directory }, { terminal })(target);
    return { ...io, stdio: { ...io.stdio, stdin } };
  };
}

/** Hands the FIFOs of a task over to a logging program of its own, so that this one may go. */
export async function handOver(
  session: Session,
  container: Container,
  directory: string,
  { stdin, stdout, stderr }: TaskStdio,
): Promise<void> {
  writeDriverOptions(directory, {
    ...driverOptions(session, container),
    fifos: { stdout, stderr },
    ...(stdin === "" ? {} : { stdin }),
  });
  const driver = fork(programPath("log-driver"), [directory], { detached: true, stdio: "ignore", execArgv: [] });
  const [message] = (await Promise.race([once(driver, "message"), once(driver, "exit")])) as [unknown];
  if (message !== "ready") throw new CommandFailure(`cannot detach: the logging program has ended (see ${directory})`);
  driver.disconnect();
  driver.unref();
}

function driverOptions(session: Session, container: Container): DriverOptions {
  const rotation = rotationOf(container);
  if (container.labels.get(autoRemoveLabel) !== "true") return { rotation };
  const { address } = session;
  const { namespace } = session.client;
  return {
    rotation,
    after: selfCommand("--address", address, "--namespace", namespace, "container-ended", container.id),
  };
}
