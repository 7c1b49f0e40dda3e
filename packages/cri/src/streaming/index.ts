/**
 * The streaming server: what clients of exec, attach and port-forward connect to.
 *
 * @module
 */
export { joinStreams } from "./join-streams.ts";
export type {
  AttachCall,
  ExecCall,
  PortForwardCall,
  ProcessStreams,
  StreamingRuntime,
  TerminalSize,
} from "./runtime.ts";
