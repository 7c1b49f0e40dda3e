import { readFileSync } from "node:fs";

/** One line of `mountinfo`. */
export interface MountInfo {
  id: number;
  parent: number;
  /** `major:minor` of the file system. */
  device: string;
  /** Directory of the file system that is mounted. */
  root: string;
  mountPoint: string;
  /** Options of this mount. */
  options: string[];
  /** Optional fields such as `shared:5`. */
  tags: string[];
  fstype: string;
  source: string;
  /** Options of the file system. */
  superOptions: string[];
}

/** The mounts that this thread sees, in the kernel's order (a later one covers an earlier one). */
export function readMountInfo(): MountInfo[] {
  return parseMountInfo(readFileSync("/proc/thread-self/mountinfo", "utf8"));
}

/** Parses the text of a `mountinfo` file. */
export function parseMountInfo(text: string): MountInfo[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map(parseLine);
}

function parseLine(line: string): MountInfo {
  const words = line.split(" ");
  const separator = words.indexOf("-", 6);
  const word = (index: number): string => unescapeOctal(words[index] ?? "");
  return {
    id: Number(words[0]),
    parent: Number(words[1]),
    device: word(2),
    root: word(3),
    mountPoint: word(4),
    options: word(5).split(","),
    tags: words.slice(6, separator),
    fstype: word(separator + 1),
    source: word(separator + 2),
    superOptions: word(separator + 3).split(","),
  };
}

/** The kernel writes space, tab, newline and backslash as octal. */
function unescapeOctal(text: string): string {
  return text.includes("\\")
    ? text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))
    : text;
}
