import { RE2JS } from "re2js";
import type { Filter, FilterSelector } from "./parser.ts";
import { parseFilter } from "./parser.ts";

/** Reads a field of one object. An absent field has an empty value. */
export type FieldAdaptor = (path: readonly string[]) => { value: string; present: boolean };

type Condition = (adaptor: FieldAdaptor) => boolean;

/**
 * Compiles filter strings to a predicate that holds when any of them matches. No strings, or an empty one, match all.
 *
 * @throws ContainerdError `invalid-argument` with the position of a syntax error
 */
export function compileFilters(filters: readonly string[]): (adaptor: FieldAdaptor) => boolean {
  const compiled = filters.map((text) => matchesFilter(parseFilter(text)));
  if (compiled.length === 0) return () => true;
  return (adaptor) => compiled.some((matches) => matches(adaptor));
}

/** Compiles one parsed filter. */
export function matchesFilter(filter: Filter): (adaptor: FieldAdaptor) => boolean {
  const conditions = filter.selectors.map(compileSelector);
  return (adaptor) => conditions.every((holds) => holds(adaptor));
}

function compileSelector({ path, operator, value }: FilterSelector): Condition {
  switch (operator) {
    case "present":
      return (adaptor) => adaptor(path).present;
    case "==":
      return (adaptor) => {
        const field = adaptor(path);
        return field.present && field.value === value;
      };
    case "!=":
      return (adaptor) => {
        const field = adaptor(path);
        return !field.present || field.value !== value;
      };
    case "~=":
      return compileSearch(path, value);
  }
}

function compileSearch(path: readonly string[], pattern: string): Condition {
  let expression: RE2JS;
  try {
    expression = RE2JS.compile(pattern);
  } catch {
    // A malformed expression matches nothing and is no error (BEHAVIOUR section 5); re2js throws only syntax errors.
    return () => false;
  }
  return (adaptor) => {
    const field = adaptor(path);
    return expression.test(field.present ? field.value : "");
  };
}
