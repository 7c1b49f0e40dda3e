/** Streams and logs of containers. */
import { join } from "node:path";
import { containerState } from "../sandboxes/layout.ts";
import type { Cri } from "../store/cri.ts";
import { ContainerIo } from "./container-io.ts";
import type { ContainerMetadata } from "./container-metadata.ts";

/** The streams of a container, which are written down unless it has no log. */
export function containerIo(cri: Cri, { id, config, logPath }: ContainerMetadata): ContainerIo {
  const { stdin, stdinOnce, tty } = config;
  const maxLine = cri.config.max_container_log_line_size;
  return new ContainerIo({
    stdin,
    stdinOnce,
    tty,
    directory: join(containerState(cri.directories, id), "io"),
    logs: cri.logs,
    target: logPath === "" ? undefined : { path: logPath, maxLine },
    log: cri.log.child({ container: id }),
  });
}
