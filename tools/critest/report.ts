/** What a JUnit report of critest says in short. */

/** Counts, and the names of what has failed. */
export function summarize(xml: string): string {
  const cases = [...xml.matchAll(/<testcase name="([^"]*)"[^>]* status="([a-z]+)"/g)].map(
    ([, name = "", status = ""]) => ({
      name: name.replaceAll("&#39;", "'").replaceAll("&#34;", '"'),
      status,
    }),
  );
  const specs = cases.filter(({ name }) => name.startsWith("[It]"));
  const count = (status: string): number => specs.filter((one) => one.status === status).length;
  const failed = specs.filter(({ status }) => status !== "passed" && status !== "skipped");
  return [
    `critest: ${count("passed")} passed, ${failed.length} failed, ${count("skipped")} skipped of ${specs.length}`,
    ...failed.map(({ name }) => `  failed: ${name}`),
    "",
  ].join("\n");
}
