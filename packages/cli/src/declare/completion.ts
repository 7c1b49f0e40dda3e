import type { Command } from "commander";
import { declare } from "../globals.ts";
import { withSession } from "./images.ts";

/** Declares `completion`, and the command that its scripts call. */
export function declareCompletion(program: Command): void {
  declare(program, "completion <shell>", "print a script for completion in bash or zsh").action(async (shell: string) =>
    (await import("../completion.ts")).printCompletion(shell),
  );
  const complete = declare(program, "complete [words...]", "print what can stand in place of the last word", true);
  complete.passThroughOptions().action(async (words: string[]) => {
    const { candidatesFor } = await import("../completion.ts");
    const found = candidatesFor(program, words);
    process.stdout.write(found.words.map((word) => `${word}\n`).join(""));
    const { names } = found;
    if (names === undefined) return;
    await withSession(complete, async (session) => {
      const { namesBeginning } = await import("../complete-names.ts");
      const fitting = await namesBeginning(session, names, words.at(-1) ?? "");
      process.stdout.write(fitting.map((name) => `${name}\n`).join(""));
    });
  });
}
