import { expect, it } from "vitest";
import { isForDaemon } from "./command-line.ts";
import { candidatesFor } from "./completion.ts";
import { createProgram } from "./program.ts";

it.each([
  [["ps", "--"], expect.arrayContaining(["--all", "--json"]), undefined],
  [["namespace", ""], ["ls", "create", "rm", "help"], undefined],
  [["-n", "other", "namespace", "rm", ""], [], "namespace"],
  [["network", "rm", "b"], [], "network"],
  [["stop", "-t", "3", "we"], [], "container"],
  [["run", "-it", "--name", "x", "busy"], [], "image"],
  [["container-"], [], undefined],
])("completes %j", (words, found, names) => {
  expect(candidatesFor(createProgram(), words)).toEqual({ words: found, names });
});

it.each([
  [[], true],
  [["--config", "/x"], true],
  [["-a", "/x", "serve"], true],
  [["-a", "serve", "ps"], false],
  [["plugins", "ls"], true],
  [["--help"], false],
  [["run", "x", "serve"], false],
])("%j is for the daemon: %s", (argv, expected) => {
  expect(isForDaemon(argv)).toBe(expected);
});
