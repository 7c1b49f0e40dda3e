/** Parts of specs. */
import type { Spec } from "@ctrd/oci";

/** The part for Linux. */
export type SpecLinux = NonNullable<Spec["linux"]>;
/** Limits. */
export type SpecResources = NonNullable<SpecLinux["resources"]>;
