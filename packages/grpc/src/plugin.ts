import type { AnyRegistration } from "@ctrd/core/plugin";
import { grpcRegistrations } from "./grpc-registrations.ts";
import { operationsRegistration } from "./operations.ts";
import { serverRegistrations } from "./servers/registrations.ts";
import { serviceRegistrations } from "./services/registrations.ts";

/** The services, their gRPC plugins, and the servers that expose them. */
const registrations: readonly AnyRegistration[] = [
  operationsRegistration,
  ...serviceRegistrations,
  ...grpcRegistrations,
  ...serverRegistrations,
];

export default registrations;
