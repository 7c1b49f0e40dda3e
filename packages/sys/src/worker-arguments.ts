/** Options that decide how modules are found, with their value in the next argument or behind a `=`. */
const moduleOptions = ["--conditions", "-C", "--import", "--require", "-r", "--experimental-loader", "--loader"];

/**
 * `execArgv` for worker threads that run a module file. A program given on the command line with `--input-type` hands
 * that option down to its workers, which then refuse to start.
 *
 * @returns `undefined` when workers may inherit everything, as is usual
 */
export function workerExecArgv(execArgv: readonly string[] = process.execArgv): string[] | undefined {
  if (!execArgv.some((argument) => argument.startsWith("--input-type"))) return undefined;
  return execArgv.filter((argument, index) => {
    const [name = ""] = argument.split("=");
    return moduleOptions.includes(name) || moduleOptions.includes(execArgv[index - 1] ?? "");
  });
}
