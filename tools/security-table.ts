/**
 * The table of docs/security.md: which test keeps which failure away.
 */

export interface SecurityRow {
  /** Ids, separated by commas. */
  readonly id: string;
  /** Test file, relative to the document; absent when the row names none. */
  readonly file?: string;
  readonly name?: string;
}

const testCell = /^\[[^\]]*\]\((?<file>[^)]+)\) `(?<name>[^`]+)`$/;

/** The rows whose first cell is an id. */
export function securityRows(document: string): SecurityRow[] {
  return document.split("\n").flatMap((line) => {
    const [, id = "", , ...rest] = line.split("|").map((cell) => cell.trim());
    if (!/^(?:CVE|GHSA|GO|JS)-/.test(id)) return [];
    const { file, name } = testCell.exec(rest.slice(0, -1).join("|"))?.groups ?? {};
    return [{ id, ...(file === undefined || name === undefined ? {} : { file, name }) }];
  });
}

/** What is wrong with the rows; `read` gives a file's text. */
export function missingTests(document: string, read: (file: string) => string | undefined): string[] {
  return securityRows(document).flatMap(({ id, file, name }) => {
    if (file === undefined || name === undefined) return [`${id}: the row names no test`];
    if (!name.startsWith(id)) return [`${id}: the name "${name}" does not begin with the id`];
    const text = read(file);
    if (text === undefined) return [`${id}: ${file} is not there`];
    return ['"', "'", "`"].some((quote) => text.includes(`${quote}${name}${quote}`))
      ? []
      : [`${id}: ${file} has no test "${name}"`];
  });
}
