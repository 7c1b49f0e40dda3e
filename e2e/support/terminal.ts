/** A shell in a real terminal: tmux on its own socket, so that sizes and keys are those of a person's. */
import { rmSync } from "node:fs";
import { runOk, until } from "./command.ts";

export interface Terminal extends AsyncDisposable {
  /** Types a line and Enter. */
  type(line: string): Promise<void>;
  /** Presses keys, by tmux's names: `C-c`. */
  keys(...names: string[]): Promise<void>;
  /** Waits until the whole text of the terminal matches. */
  waitFor(pattern: RegExp): Promise<void>;
  resize(columns: number, rows: number): Promise<void>;
  /** The text at the last {@link waitFor}. */
  screen(): string;
}

export async function openTerminal(socket: string, columns: number, rows: number): Promise<Terminal> {
  const tmux = (...args: string[]): Promise<string> => runOk("tmux", ["-S", socket, "-f", "/dev/null", ...args]);
  const size = ["-x", String(columns), "-y", String(rows)];
  await tmux("new-session", "-d", ...size, "env", "PS1=shell$ ", "sh");
  await tmux("set-option", "-g", "status", "off");
  await tmux("resize-window", "-x", String(columns), "-y", String(rows));
  let screen = "";
  return {
    async type(line) {
      await tmux("send-keys", "-l", line);
      await tmux("send-keys", "Enter");
    },
    async keys(...names) {
      await tmux("send-keys", ...names);
    },
    async waitFor(pattern) {
      try {
        await until("", async () => pattern.test((screen = await tmux("capture-pane", "-p", "-S", "-"))), 45_000);
      } catch (cause) {
        throw new Error(`the terminal never showed ${pattern}:\n${screen}`, { cause });
      }
    },
    async resize(x, y) {
      await tmux("resize-window", "-x", String(x), "-y", String(y));
    },
    screen: () => screen,
    async [Symbol.asyncDispose]() {
      await tmux("kill-server");
      rmSync(socket, { force: true });
    },
  };
}
