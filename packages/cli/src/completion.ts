/**
 * Completion for shells. The scripts ask this program, so that they need no change when commands do.
 *
 * @module
 */
import type { Command } from "commander";
import { CommandFailure } from "./failure.ts";

const bash = `# ctrd completion for bash: eval "$(ctrd completion bash)"
_ctrd() {
  local IFS=$'\\n'
  COMPREPLY=($(ctrd complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
  [[ \${#COMPREPLY[@]} -eq 1 && \${COMPREPLY[0]} == */ ]] && compopt -o nospace
}
complete -o default -F _ctrd ctrd
`;

const zsh = `#compdef ctrd
# ctrd completion for zsh: eval "$(ctrd completion zsh)"
_ctrd() {
  local -a found
  found=("\${(@f)$(ctrd complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n "\${found[1]}" ]]; then compadd -a found; else _files; fi
}
if [ "$funcstack[1]" = "_ctrd" ]; then _ctrd; else compdef _ctrd ctrd; fi
`;

/** Runs `ctrd completion`: prints the script of a shell. */
export function printCompletion(shell: string): void {
  if (shell !== "bash" && shell !== "zsh") {
    throw new CommandFailure(`no completion for "${shell}"`, { remedy: "there is one for bash and one for zsh" });
  }
  process.stdout.write(shell === "bash" ? bash : zsh);
}

/** What a name in the place of an argument is a name of. */
export type NameKind = "container" | "image" | "namespace" | "network";

/** What can stand in place of the last word. */
export interface Candidates {
  readonly words: readonly string[];
  /** Names of these fit as well. */
  readonly names: NameKind | undefined;
}

const imageCommands = new Set(["run", "create", "push", "tag", "rmi", "save", "images", "convert"]);
const containerCommands = new Set(
  "start stop kill rm exec attach logs inspect top stats pause unpause wait cp diff commit rename update why".split(
    " ",
  ),
);

/** Finds what can stand in place of the last of `words`, which may be empty. */
export function candidatesFor(program: Command, words: readonly string[]): Candidates {
  const last = words.at(-1) ?? "";
  let command = program;
  const path: string[] = [];
  let skip = false;
  for (const word of words.slice(0, -1)) {
    if (skip) {
      skip = false;
      continue;
    }
    if (word.startsWith("-")) {
      const option = command.options.find(({ short, long }) => word === short || word === long);
      skip = option?.required === true || option?.optional === true;
      continue;
    }
    const next = command.commands.find((known) => known.name() === word || known.aliases().includes(word));
    if (next === undefined) break;
    command = next;
    path.push(next.name());
  }
  if (last.startsWith("-")) return { words: fitting(optionsOf(command), last), names: undefined };
  const subcommands = command.createHelp().visibleCommands(command);
  if (command.commands.length > 0)
    return {
      words: fitting(
        subcommands.map((known) => known.name()),
        last,
      ),
      names: undefined,
    };
  return { words: [], names: nameKindOf(path) };
}

function optionsOf(command: Command): string[] {
  return command
    .createHelp()
    .visibleOptions(command)
    .flatMap(({ long }) => long ?? []);
}

function fitting(words: readonly string[], beginning: string): string[] {
  return words.filter((word) => word.startsWith(beginning));
}

function nameKindOf([first = "", second = ""]: readonly string[]): NameKind | undefined {
  if (imageCommands.has(first)) return "image";
  if (containerCommands.has(first)) return "container";
  if (first === "network" && ["rm", "inspect"].includes(second)) return "network";
  return first === "namespace" && second === "rm" ? "namespace" : undefined;
}
