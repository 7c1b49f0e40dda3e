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

const securityId = /^(?:CVE|GHSA|GO|JS)-/;

/** The rows whose first cell is an id. */
export function securityRows(document: string, isId: RegExp = securityId): SecurityRow[] {
  return document.split("\n").flatMap((line) => {
    const [, id = "", , ...rest] = line.split("|").map((cell) => cell.trim());
    if (!isId.test(id)) return [];
    const { file, name } = testCell.exec(rest.slice(0, -1).join("|"))?.groups ?? {};
    return [{ id, ...(file === undefined || name === undefined ? {} : { file, name }) }];
  });
}

/**
 * What is wrong with the rows; `read` gives a file's text.
 *
 * @param isId of the rows that count; names of tests must begin with the id unless it is given
 */
export function missingTests(document: string, read: (file: string) => string | undefined, isId?: RegExp): string[] {
  return securityRows(document, isId).flatMap(({ id, file, name }) => {
    if (file === undefined || name === undefined) return [`${id}: the row names no test`];
    if (isId === undefined && !name.startsWith(id)) return [`${id}: the name "${name}" does not begin with the id`];
    const text = read(file);
    if (text === undefined) return [`${id}: ${file} is not there`];
    return ['"', "'", "`"].some((quote) => text.includes(`${quote}${name}${quote}`))
      ? []
      : [`${id}: ${file} has no test "${name}"`];
  });
}
