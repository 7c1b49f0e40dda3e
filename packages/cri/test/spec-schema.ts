/** The official JSON schema of specs, which @ctrd/oci is tested with too. */
export { schemaErrors, schemaTest } from "../../oci/test/schema.ts";
