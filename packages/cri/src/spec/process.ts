/** What a container runs: arguments, environment, directory, terminal. */
import { posix } from "node:path";
import { hostname as machineName } from "node:os";
import type { ContainerConfig } from "@ctrd/api/cri/runtime/v1/api";
import { invalidArgument } from "@ctrd/core/errors";
import type { ImageConfig, SpecOption } from "@ctrd/oci";
import { compose, mergeEnvironment, withCwd, withEnv, withProcessArgs, withTty } from "@ctrd/oci";

const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/**
 * The process of a container. Variables of the image come after those that every container has, those of the request
 * last.
 *
 * @param podHostname host name of the pod; empty for that of the node
 */
export function withContainerProcess(config: ContainerConfig, image: ImageConfig, podHostname: string): SpecOption {
  const given = config.envs.map(({ key, value }) => `${key}=${Buffer.from(value).toString()}`);
  return compose(
    withProcessArgs(...containerArguments(config, image)),
    withEnvironment([defaultPath]),
    withWorkingDirectory(config.workingDir, image.workingDir),
    config.tty ? withTty() : () => {},
    withEnv(`HOSTNAME=${podHostname || machineName()}`),
    withEnvironment(image.env),
    withEnv(...given),
  );
}

/** The process of a sandbox. */
export function withSandboxProcess(image: ImageConfig): SpecOption {
  const args = [...image.entrypoint, ...image.cmd];
  if (args.length === 0) throw invalidArgument("the sandbox image has neither an entry point nor a command");
  return compose(withProcessArgs(...args), withEnvironment(image.env), withWorkingDirectory("", image.workingDir));
}

/**
 * Command and arguments of the request, else those of the image: a command takes the place of the entry point, and
 * then the command of the image is not used either.
 */
function containerArguments({ command, args }: ContainerConfig, image: ImageConfig): string[] {
  const own = command.length > 0 || args.length > 0 ? args : image.cmd;
  // An entry point of one empty word is how an image says that it has none.
  const entrypoint = image.entrypoint.length === 1 && image.entrypoint[0] === "" ? [] : image.entrypoint;
  const line = [...(command.length > 0 ? command : entrypoint), ...own];
  if (line.length === 0) throw invalidArgument("no command specified, neither by the container nor by its image");
  return line;
}

/** Variables that are not the request's: a malformed one of an image is passed on, as it always was. */
function withEnvironment(entries: readonly string[]): SpecOption {
  return (_context, spec) => {
    const process = (spec.process ??= { user: { uid: 0, gid: 0 }, cwd: "/" });
    process.env = mergeEnvironment(process.env ?? [], entries);
  };
}

function withWorkingDirectory(wanted: string, ofImage: string): SpecOption {
  if (wanted !== "") return withCwd(wanted);
  return ofImage === "" ? () => {} : withCwd(posix.join("/", ofImage));
}
