/**
 * The system calls of the default filter, as containerd 2 and Docker allow them. What is not named here fails.
 *
 * @module
 */

/** Allowed for every container. Names that a machine does not have are passed over by the runtime. */
export const allowedCalls: readonly string[] = [
  // Files.
  `
      access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat
      faccessat2 fadvise64 fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat
      fcntl fcntl64 fdatasync flock fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64
      futimesat getcwd getdents getdents64 ioctl lchown lchown32 link linkat listmount _llseek lseek lstat
      lstat64 mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open openat openat2 readahead readlink
      readlinkat rename renameat renameat2 rmdir stat stat64 statfs statfs64 statmount statx symlink symlinkat
      sync sync_file_range syncfs truncate truncate64 umask unlink unlinkat utime utimensat utimensat_time64
      utimes`,
  // Reading, writing and pipes.
  `
      pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readv sendfile sendfile64 splice tee
      vmsplice write writev`,
  // Extended attributes.
  `
      fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr listxattrat
      llistxattr lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat`,
  // Waiting for files.
  `
      epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old
      eventfd eventfd2 fanotify_mark inotify_add_watch inotify_init inotify_init1 inotify_rm_watch _newselect
      poll ppoll ppoll_time64 pselect6 pselect6_time64 select signalfd signalfd4`,
  // Asynchronous I/O.
  `
      io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit ioprio_get
      ioprio_set`,
  // Memory.
  `
      brk cachestat madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2
      mlockall mmap mmap2 mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free
      pkey_mprotect process_mrelease remap_file_pages`,
  // Processes and threads.
  `
      capget capset execve execveat exit exit_group fork get_robust_list get_thread_area getcpu getpgid
      getpgrp getpid getppid getpriority getrlimit getrusage getsid gettid pidfd_open pidfd_send_signal prctl
      prlimit64 process_vm_readv process_vm_writev ptrace restart_syscall rseq set_robust_list set_thread_area
      set_tid_address setpgid setpriority setrlimit setsid tgkill tkill ugetrlimit uretprobe vfork wait4
      waitid waitpid`,
  // Users and groups.
  `
      getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid getresgid32
      getresuid getresuid32 getuid getuid32 setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups
      setgroups32 setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setuid
      setuid32`,
  // Signals.
  `
      alarm kill pause rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
      rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack sigprocmask sigreturn`,
  // Scheduling.
  `
      sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam
      sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr
      sched_setparam sched_setscheduler sched_yield`,
  // Time.
  `
      adjtimex clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
      clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time timer_create
      timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create
      timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times`,
  // Locks and messages between processes.
  `
      futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake ipc mq_getsetattr mq_notify mq_open
      mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl msgget msgrcv
      msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget`,
  // Sockets; `socket` itself has conditions.
  `
      accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg
      recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair`,
  // Restricting oneself.
  `
      landlock_add_rule landlock_create_ruleset landlock_restrict_self lsm_get_self_attr lsm_list_modules
      lsm_set_self_attr seccomp`,
  // The system.
  `
      getrandom sysinfo uname`,
].flatMap(words);

/** Further calls by machine. */
export const callsByArchitecture: Readonly<Record<string, readonly string[]>> = {
  x64: ["arch_prctl", "modify_ldt"],
  arm64: ["arm_fadvise64_64", "arm_sync_file_range", "breakpoint", "cacheflush", "set_tls", "sync_file_range2"],
  riscv64: ["riscv_flush_icache"],
};

/** Further calls for those who hold a capability: what it is for. */
export const callsByCapability: Readonly<Record<string, readonly string[]>> = {
  CAP_BPF: ["bpf"],
  CAP_DAC_READ_SEARCH: ["open_by_handle_at"],
  CAP_PERFMON: ["perf_event_open"],
  CAP_SYS_ADMIN: words(`
      bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount
      open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare`),
  CAP_SYS_BOOT: ["reboot"],
  CAP_SYS_CHROOT: ["chroot"],
  CAP_SYS_MODULE: ["delete_module", "finit_module", "init_module"],
  CAP_SYS_NICE: ["get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node"],
  CAP_SYS_PACCT: ["acct"],
  CAP_SYS_PTRACE: ["kcmp", "pidfd_getfd", "process_madvise"],
  CAP_SYS_RAWIO: ["ioperm", "iopl"],
  CAP_SYS_TIME: ["clock_settime", "clock_settime64", "settimeofday", "stime"],
  CAP_SYS_TTY_CONFIG: ["vhangup"],
  CAP_SYSLOG: ["syslog"],
};

function words(text: string): string[] {
  return text.trim().split(/\s+/);
}
