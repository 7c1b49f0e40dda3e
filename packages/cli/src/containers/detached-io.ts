/**
 * The streams of containers that nobody is attached to: the logging program has them.
 *
 * @module
 */
import type { ChildProcess } from "node:child_process";
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Container, IoCreator } from "@ctrd/client";
import { logProgram, nullIo } from "@ctrd/client";
import type { TaskStdio } from "@ctrd/core/tasks";
import { mkfifo } from "@ctrd/sys";
import { CommandFailure } from "../failure.ts";
import type { DriverOptions } from "../logs/driver-options.ts";
import { writeDriverOptions } from "../logs/driver-options.ts";
import type { RotationOptions } from "../logs/log-writer.ts";
import { defaultRotation } from "../logs/log-writer.ts";
import type { Session } from "../session.ts";
import { directoryOf, root, rootVariable } from "./directory.ts";
import { autoRemoveLabel, networksLabel, rotationLabel } from "./labels.ts";
import { hookCommand, programPath, selfCommand } from "./self.ts";

/** How the files of a container's log are rotated. */
export function rotationOf({ labels }: Container): RotationOptions {
  const [bytes, files] = labels.get(rotationLabel)?.split(" ").map(Number) ?? [];
  return bytes && files ? { maxBytes: bytes, maxFiles: files } : defaultRotation;
}

/** Streams for a container without input: the shim starts the logging program. */
export function loggedIo(session: Session, container: Container, directory: string, terminal: boolean): IoCreator {
  return async (target) => {
    prepareDriver(session, container, directory);
    // One argument: shims do not keep the order of several.
    return logProgram(process.execPath, { [programPath("log-driver")]: directory }, { terminal })(target);
  };
}

/** Tells the logging program what it needs when somebody else starts it for this container. */
export function prepareDriver(session: Session, container: Container, directory: string): void {
  writeDriverOptions(directory, driverOptions(session, container));
}

/**
 * Streams for a container with input, which shims do not give beside a logging program: FIFOs, and a logging program
 * that we start. `started` gets it.
 */
export function fifoIo(
  session: Session,
  container: Container,
  directory: string,
  terminal: boolean,
  started: (driver: ChildProcess) => void,
): IoCreator {
  return async (target) => {
    const fifos = join(directory, "io");
    await rm(fifos, { recursive: true, force: true });
    await mkdir(fifos, { mode: 0o700 });
    const make = (name: string): string => {
      mkfifo(join(fifos, name), 0o600);
      return join(fifos, name);
    };
    const stdio = { stdin: make("stdin"), stdout: make("stdout"), stderr: terminal ? "" : make("stderr"), terminal };
    started(await startDriver(session, container, directory, stdio));
    return { ...(await nullIo(target)), stdio };
  };
}

/** Starts a logging program that reads FIFOs, and goes on when this program does not. */
export async function startDriver(
  session: Session,
  container: Container,
  directory: string,
  { stdout, stderr }: TaskStdio,
): Promise<ChildProcess> {
  writeDriverOptions(directory, { ...driverOptions(session, container), fifos: { stdout, stderr } });
  const driver = fork(programPath("log-driver"), [directory], { detached: true, stdio: "ignore", execArgv: [] });
  const [message] = (await Promise.race([once(driver, "message"), once(driver, "exit")])) as [unknown];
  if (message !== "ready") throw new CommandFailure(`the logging program has ended at once (see ${directory})`);
  if (driver.connected) driver.disconnect();
  driver.unref();
  return driver;
}

function driverOptions(session: Session, container: Container): DriverOptions {
  const rotation = rotationOf(container);
  if (container.labels.get(autoRemoveLabel) !== "true") {
    const directory = directoryOf(container);
    if (directory === undefined || !container.labels.has(networksLabel)) return { rotation };
    // Its ports are for others, even if nobody deletes its task.
    return { rotation, after: { command: hookCommand("ended", directory), env: {} } };
  }
  const { address, client } = session;
  const command = selfCommand("--address", address, "--namespace", client.namespace, "container-ended", container.id);
  return { rotation, after: { command, env: { [rootVariable]: root() } } };
}
