// A shim for tests that serves the sandbox API: containerd's own runc shim, and beside its task service a sandbox service.
// A sandbox is a process that does nothing but hold namespaces, which containers join by its pid.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	goruntime "runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	bootapi "github.com/containerd/containerd/api/runtime/bootstrap/v1"
	api "github.com/containerd/containerd/api/runtime/sandbox/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/manager"
	_ "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/task/plugin"
	"github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/containerd/v2/pkg/shutdown"
	"github.com/containerd/containerd/v2/pkg/sys/reaper"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"
	"github.com/containerd/ttrpc"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const (
	ready    = "SANDBOX_READY"
	notReady = "SANDBOX_NOTREADY"
	pidFile  = "pause.pid"
	// Annotations that make the shim misbehave.
	failCreate = "test/fail-create"
	failStart  = "test/fail-start"
	hangCreate = "test/hang-create"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "pause" {
		ended := make(chan os.Signal, 1)
		signal.Notify(ended, unix.SIGTERM)
		os.Stdout.Close()
		<-ended
		os.Exit(3)
	}
	shim.RunShim(context.Background(), pods{manager.NewShimManager("io.containerd.pods.v1")})
}

// pods is the shim of runc, which wants the specification of a container: a sandbox may have none.
type pods struct{ shim.Shim }

func (p pods) Start(ctx context.Context, params *bootapi.BootstrapParams) (*bootapi.BootstrapResult, error) {
	if _, err := os.Stat("config.json"); errors.Is(err, fs.ErrNotExist) {
		if err := os.WriteFile("config.json", []byte("{}"), 0o644); err != nil {
			return nil, err
		}
	}
	return p.Shim.Start(ctx, params)
}

func (p pods) Stop(ctx context.Context, id string) (shim.StopStatus, error) {
	text, err := os.ReadFile(pidFile)
	if pid, parseErr := strconv.Atoi(string(text)); err == nil && parseErr == nil {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
	return p.Shim.Stop(ctx, id)
}

func init() {
	registry.Register(&plugin.Registration{
		Type:     plugins.TTRPCPlugin,
		ID:       "sandbox",
		Requires: []plugin.Type{plugins.InternalPlugin},
		InitFn: func(ic *plugin.InitContext) (any, error) {
			ss, err := ic.GetByID(plugins.InternalPlugin, "shutdown")
			if err != nil {
				return nil, err
			}
			return &service{shutdown: ss.(shutdown.Service), exited: make(chan struct{})}, nil
		},
	})
}

type service struct {
	shutdown shutdown.Service
	mu       sync.Mutex
	created  *api.CreateSandboxRequest
	pid      int
	started  time.Time
	// Closed at the end of the process, after what is below was set.
	exited   chan struct{}
	status   int
	exitedAt time.Time
}

func (s *service) RegisterTTRPC(server *ttrpc.Server) error {
	api.RegisterTTRPCSandboxService(server, s)
	return nil
}

func notFound(id string) error { return errgrpc.ToGRPCf(errdefs.ErrNotFound, "sandbox %s", id) }

func (s *service) find(id string) (*api.CreateSandboxRequest, int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.created == nil || s.created.SandboxID != id {
		return nil, 0, notFound(id)
	}
	return s.created, s.pid, nil
}

func (s *service) CreateSandbox(_ context.Context, r *api.CreateSandboxRequest) (*api.CreateSandboxResponse, error) {
	if r.Annotations[hangCreate] != "" {
		select {}
	}
	if text := r.Annotations[failCreate]; text != "" {
		return nil, errgrpc.ToGRPCf(errdefs.ErrFailedPrecondition, "%s", text)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.created != nil {
		return nil, errgrpc.ToGRPCf(errdefs.ErrAlreadyExists, "sandbox %s", s.created.SandboxID)
	}
	s.created = r
	return &api.CreateSandboxResponse{}, nil
}

func (s *service) StartSandbox(_ context.Context, r *api.StartSandboxRequest) (*api.StartSandboxResponse, error) {
	created, _, err := s.find(r.SandboxID)
	if err != nil {
		return nil, err
	}
	if text := created.Annotations[failStart]; text != "" {
		return nil, errgrpc.ToGRPCf(errdefs.ErrFailedPrecondition, "%s", text)
	}
	result := make(chan error, 1)
	go func() { result <- s.pause(created.NetnsPath) }()
	if err := <-result; err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	if err := os.WriteFile(pidFile, []byte(strconv.Itoa(s.pid)), 0o644); err != nil {
		return nil, err
	}
	return &api.StartSandboxResponse{Pid: uint32(s.pid), CreatedAt: timestamppb.New(s.started)}, nil
}

// pause starts the process that holds the namespaces. Its thread is in the network namespace then, and is not used again.
func (s *service) pause(netns string) error {
	goruntime.LockOSThread()
	if netns != "" {
		file, err := os.Open(netns)
		if err != nil {
			return err
		}
		defer file.Close()
		if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
			return err
		}
	}
	cmd := exec.Command("/proc/self/exe", "pause")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWPID}
	reader, writer, err := os.Pipe()
	if err != nil {
		return err
	}
	defer reader.Close()
	cmd.Stdout = writer
	ended, err := reaper.Default.Start(cmd)
	writer.Close()
	if err != nil {
		return err
	}
	// It closes its output once it can be told to end.
	_, _ = reader.Read(make([]byte, 1))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pid, s.started = cmd.Process.Pid, time.Now()
	go func() {
		status, _ := reaper.Default.Wait(cmd, ended)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.status, s.exitedAt = status, time.Now()
		close(s.exited)
	}()
	return nil
}

func (s *service) isOver() bool {
	select {
	case <-s.exited:
		return true
	default:
		return false
	}
}

func (s *service) Platform(_ context.Context, r *api.PlatformRequest) (*api.PlatformResponse, error) {
	if _, _, err := s.find(r.SandboxID); err != nil {
		return nil, err
	}
	return &api.PlatformResponse{Platform: &types.Platform{OS: goruntime.GOOS, Architecture: goruntime.GOARCH, Variant: "pod"}}, nil
}

func (s *service) StopSandbox(_ context.Context, r *api.StopSandboxRequest) (*api.StopSandboxResponse, error) {
	_, pid, err := s.find(r.SandboxID)
	if err != nil {
		return nil, err
	}
	if pid != 0 && !s.isOver() {
		_ = unix.Kill(pid, unix.SIGTERM)
		select {
		case <-s.exited:
		case <-time.After(time.Duration(r.TimeoutSecs) * time.Second):
			_ = unix.Kill(pid, unix.SIGKILL)
			<-s.exited
		}
	}
	return &api.StopSandboxResponse{}, nil
}

func (s *service) WaitSandbox(ctx context.Context, r *api.WaitSandboxRequest) (*api.WaitSandboxResponse, error) {
	if _, _, err := s.find(r.SandboxID); err != nil {
		return nil, err
	}
	select {
	case <-s.exited:
		return &api.WaitSandboxResponse{ExitStatus: uint32(s.status), ExitedAt: timestamppb.New(s.exitedAt)}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *service) SandboxStatus(_ context.Context, r *api.SandboxStatusRequest) (*api.SandboxStatusResponse, error) {
	created, pid, err := s.find(r.SandboxID)
	if err != nil {
		return nil, err
	}
	answer := &api.SandboxStatusResponse{
		SandboxID: r.SandboxID, Pid: uint32(pid), State: notReady, CreatedAt: timestamppb.New(s.started),
	}
	if pid != 0 && !s.isOver() {
		answer.State = ready
	}
	if s.isOver() {
		answer.ExitedAt = timestamppb.New(s.exitedAt)
	}
	if r.Verbose {
		request, err := json.Marshal(map[string]any{
			"bundle": created.BundlePath, "netns": created.NetnsPath, "annotations": created.Annotations,
			"options": created.Options.GetTypeUrl(), "optionsSize": len(created.Options.GetValue()),
			"rootfs": len(created.Rootfs), "shim": os.Getpid(),
		})
		if err != nil {
			return nil, err
		}
		answer.Info = map[string]string{"request": string(request)}
	}
	return answer, nil
}

func (s *service) PingSandbox(_ context.Context, r *api.PingRequest) (*api.PingResponse, error) {
	_, _, err := s.find(r.SandboxID)
	return &api.PingResponse{}, err
}

func (s *service) ShutdownSandbox(_ context.Context, r *api.ShutdownSandboxRequest) (*api.ShutdownSandboxResponse, error) {
	if _, pid, err := s.find(r.SandboxID); err == nil && pid != 0 && !s.isOver() {
		_ = unix.Kill(pid, unix.SIGKILL)
		<-s.exited
	}
	s.shutdown.Shutdown()
	return &api.ShutdownSandboxResponse{}, nil
}

// SandboxMetrics tells the pages of memory that the process has.
func (s *service) SandboxMetrics(_ context.Context, r *api.SandboxMetricsRequest) (*api.SandboxMetricsResponse, error) {
	_, pid, err := s.find(r.SandboxID)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "statm"))
	if err != nil {
		return nil, err
	}
	pages, err := strconv.ParseUint(strings.Fields(string(text))[0], 10, 64)
	if err != nil {
		return nil, err
	}
	data, err := anypb.New(wrapperspb.UInt64(pages))
	if err != nil {
		return nil, err
	}
	return &api.SandboxMetricsResponse{
		Metrics: &types.Metric{Timestamp: timestamppb.Now(), ID: r.SandboxID, Data: data},
	}, nil
}
