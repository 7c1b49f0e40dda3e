import type { NetworkFlags } from "../network/flags.ts";

/** Flags of `ctrd run` and `ctrd create`, as commander hands them over. */
export interface CreateFlags extends NetworkFlags {
  interactive?: boolean;
  tty?: boolean;
  rm?: boolean;
  name?: string;
  volume?: string[];
  mount?: string[];
  tmpfs?: string[];
  env?: string[];
  envFile?: string[];
  workdir?: string;
  user?: string;
  groupAdd?: string[];
  entrypoint?: string;
  hostname?: string;
  pid?: string;
  ipc?: string;
  cpus?: string;
  cpuShares?: string;
  cpusetCpus?: string;
  memory?: string;
  memorySwap?: string;
  pidsLimit?: string;
  shmSize?: string;
  ulimit?: string[];
  readOnly?: boolean;
  capAdd?: string[];
  capDrop?: string[];
  privileged?: boolean;
  device?: string[];
  securityOpt?: string[];
  sysctl?: string[];
  label?: string[];
  annotation?: string[];
  stopSignal?: string;
  stopTimeout?: string;
  oomScoreAdj?: string;
  init?: boolean;
  restart?: string;
  logOpt?: string[];
  pull?: string;
  platform?: string;
  snapshotter?: string;
  runtime?: string;
  cidfile?: string;
  plainHttp?: boolean;
  skipVerify?: boolean;
  quiet?: boolean;
}

/** Flags of `ctrd run` alone. */
export interface RunFlags extends CreateFlags {
  detach?: boolean;
  detachKeys?: string;
  sigProxy?: boolean;
}
