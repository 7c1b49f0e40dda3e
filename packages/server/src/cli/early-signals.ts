/** Signals that came before the daemon was there to handle them. */
export interface EarlySignals {
  /** Leaves the signals to others. @returns whether a reload was asked for */
  release(): boolean;
}

/**
 * Catches the signals that would end the process, or open Node's debugger, while the daemon is still being loaded.
 */
export function holdSignals(): EarlySignals {
  let isReloadWanted = false;
  const onHangUp = (): void => {
    isReloadWanted = true;
  };
  const ignore = (): void => {};
  process.on("SIGHUP", onHangUp);
  process.on("SIGUSR1", ignore);
  return {
    release() {
      process.off("SIGHUP", onHangUp);
      process.off("SIGUSR1", ignore);
      return isReloadWanted;
    },
  };
}
