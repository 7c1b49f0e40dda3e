/**
 * `login` and `logout`.
 *
 * @module
 */
import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import { text } from "node:stream/consumers";
import { createContext } from "@ctrd/core/context";
import { isKind } from "@ctrd/core/errors";
import { silentLogger } from "@ctrd/core/log";
import { CommandFailure } from "../failure.ts";
import { configFile, removeCredentials, storeCredentials } from "./docker-config.ts";
import type { RegistryFlags } from "./registry.ts";
import { resolverOf } from "./registry.ts";

/** Flags of `ctrd login`. */
export interface LoginFlags extends Omit<RegistryFlags, "user"> {
  username?: string;
  password?: string;
  passwordStdin?: boolean;
}

/** A name that no registry has: whoever may ask gets "not found". */
const probe = "ctrd/login-probe:none";

/** Runs `ctrd login`: tries the credentials, and keeps them. */
export async function login(host: string, flags: LoginFlags): Promise<void> {
  const username = flags.username ?? (await ask("Username: ", false));
  const password = await passwordOf(flags);
  if (username === "" || password === "") throw new CommandFailure("login needs a user name and a password");
  const resolver = resolverOf({ ...flags, user: `${username}:${password}` }, silentLogger);
  try {
    await resolver.resolve(createContext(), `${host}/${probe}`);
  } catch (error) {
    if (isKind(error, "unauthenticated") || isKind(error, "permission-denied")) {
      throw new CommandFailure(`${host} does not take these credentials`, {
        remedy: "check user name and password; nothing was stored",
        cause: error,
      });
    }
    if (!isKind(error, "not-found")) throw error;
  }
  const where = await storeCredentials(host, username, password);
  process.stdout.write(`Login succeeded; credentials are in ${where}\n`);
}

/** Runs `ctrd logout`. */
export async function logout(host: string): Promise<void> {
  if (!(await removeCredentials(host))) {
    throw new CommandFailure(`not logged in to ${host}`, { remedy: `credentials are in ${configFile()}` });
  }
  process.stdout.write(`Removed credentials of ${host}\n`);
}

async function passwordOf({ password, passwordStdin = false }: LoginFlags): Promise<string> {
  if (passwordStdin) return (await text(process.stdin)).replace(/\r?\n$/, "");
  if (password === undefined) return ask("Password: ", true);
  process.stderr.write("ctrd: --password is seen by everyone on this machine; use --password-stdin\n");
  return password;
}

async function ask(question: string, secret: boolean): Promise<string> {
  if (!process.stdin.isTTY) {
    throw new CommandFailure("there is no terminal to ask on", { remedy: "give --username and --password-stdin" });
  }
  process.stderr.write(question);
  // With a terminal readline echoes to its output.
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: secret ? silent : process.stderr, terminal: secret });
  try {
    return await lines.question("");
  } finally {
    lines.close();
    if (secret) process.stderr.write("\n");
  }
}
