import { FilterScanner } from "./scanner.ts";

/** How a field is compared; `present` when a selector has no operator. */
export type FilterOperator = "present" | "==" | "!=" | "~=";

/** One condition. `value` is empty for `present`. */
export interface FilterSelector {
  readonly path: readonly string[];
  readonly operator: FilterOperator;
  readonly value: string;
}

/** One filter string: all selectors must hold; with none it matches everything. */
export interface Filter {
  readonly selectors: readonly FilterSelector[];
}

/**
 * Parses one filter string.
 *
 * @throws ContainerdError `invalid-argument` with the position (from 1) of a syntax error
 */
export function parseFilter(text: string): Filter {
  if (text === "") return { selectors: [] };
  const scanner = new FilterScanner(text);
  const selectors: FilterSelector[] = [];
  do selectors.push(parseSelector(scanner));
  while (scanner.accept(","));
  if (!scanner.atEnd()) throw scanner.error('expected "," or the end');
  return { selectors };
}

function parseSelector(scanner: FilterScanner): FilterSelector {
  const path = [scanner.field()];
  while (scanner.accept(".")) path.push(scanner.field());
  const operator = scanner.operator();
  if (operator === "") return { path, operator: "present", value: "" };
  if (operator !== "==" && operator !== "!=" && operator !== "~=") {
    throw scanner.error(`unknown operator ${operator}, use ==, != or ~=`, scanner.position - operator.length);
  }
  return { path, operator, value: scanner.value(operator === "~=") };
}

/** Writes a filter so that {@link parseFilter} reads the same filter again. */
export function formatFilter(filter: Filter): string {
  return filter.selectors.map(formatSelector).join(",");
}

function formatSelector({ path, operator, value }: FilterSelector): string {
  const field = path.map((part) => (/^[A-Za-z0-9_]+$/.test(part) ? part : quote(part))).join(".");
  return operator === "present" ? field : `${field}${operator}${quote(value)}`;
}

function quote(text: string): string {
  const escaped = text.replaceAll(/["\\\p{C}]/gu, (character) => {
    if (character === '"' || character === "\\") return `\\${character}`;
    return `\\U${(character.codePointAt(0) ?? 0).toString(16).padStart(8, "0")}`;
  });
  return `"${escaped}"`;
}
