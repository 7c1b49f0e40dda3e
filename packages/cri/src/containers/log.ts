/** The log of a container. */
import { ContainerLog } from "../logs/index.ts";
import type { Cri } from "../store/cri.ts";
import type { Container } from "./container.ts";

/** Opens the log of a container; undefined when nothing is to be logged. */
export async function openLog(cri: Cri, { id, metadata }: Container): Promise<ContainerLog | undefined> {
  const { logPath } = metadata;
  if (logPath === "") return undefined;
  const log = cri.log.child({ container: id });
  return ContainerLog.open({ path: logPath, maxLine: cri.config.max_container_log_line_size, log });
}
