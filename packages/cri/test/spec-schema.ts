/** The official JSON schema of specs, which @ctrd/oci is tested with too. */
export { needing, schemaErrors, schemaTest } from "../../oci/test/schema.ts";
