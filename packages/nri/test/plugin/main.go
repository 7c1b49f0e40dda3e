// An NRI plugin for tests, on NRI's own stub. It writes a line of JSON for each call that it gets. Its configuration, JSON
// too, says what it answers.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/nri/pkg/stub"
)

type config struct {
	Events  string                   `json:"events"`
	Adjust  *api.ContainerAdjustment `json:"adjust"`
	Update  []*api.ContainerUpdate   `json:"update"`
	Reject  string                   `json:"reject"`
	Fail    string                   `json:"fail"`
	DelayMs int                      `json:"delay_ms"`
	// Asked of the runtime on its own, once synchronised.
	Unsolicited []*api.ContainerUpdate `json:"unsolicited"`
}

type plugin struct {
	stub stub.Stub
	cfg  config
	out  *os.File
}

func (p *plugin) say(call string, pod *api.PodSandbox, container *api.Container, more map[string]any) {
	line := map[string]any{"call": call}
	if pod != nil {
		line["pod"] = pod
	}
	if container != nil {
		line["container"] = container
	}
	for key, value := range more {
		line[key] = value
	}
	text, err := json.Marshal(line)
	if err != nil {
		panic(err)
	}
	fmt.Fprintf(p.out, "%s\n", text)
}

func (p *plugin) answer() error {
	time.Sleep(time.Duration(p.cfg.DelayMs) * time.Millisecond)
	if p.cfg.Fail != "" {
		return errors.New(p.cfg.Fail)
	}
	return nil
}

func (p *plugin) Configure(_ context.Context, text, runtime, version string) (stub.EventMask, error) {
	p.say("Configure", nil, nil, map[string]any{"runtime": runtime, "version": version, "config": text})
	if text == "" {
		return 0, nil
	}
	if err := json.Unmarshal([]byte(text), &p.cfg); err != nil {
		return 0, err
	}
	if p.cfg.Events == "" {
		return 0, nil
	}
	return api.ParseEventMask(p.cfg.Events)
}

func (p *plugin) Synchronize(_ context.Context, pods []*api.PodSandbox, containers []*api.Container) ([]*api.ContainerUpdate, error) {
	p.say("Synchronize", nil, nil, map[string]any{"pods": len(pods), "containers": len(containers)})
	if p.cfg.Unsolicited != nil {
		go func() {
			failed, err := p.stub.UpdateContainers(p.cfg.Unsolicited)
			p.say("Unsolicited", nil, nil, map[string]any{"failed": failed, "error": fmt.Sprint(err)})
		}()
	}
	return nil, nil
}

func (p *plugin) RunPodSandbox(_ context.Context, pod *api.PodSandbox) error {
	p.say("RunPodSandbox", pod, nil, nil)
	return p.answer()
}

func (p *plugin) UpdatePodSandbox(_ context.Context, pod *api.PodSandbox, _, r *api.LinuxResources) error {
	p.say("UpdatePodSandbox", pod, nil, map[string]any{"resources": r})
	return p.answer()
}

func (p *plugin) PostUpdatePodSandbox(_ context.Context, pod *api.PodSandbox) error {
	p.say("PostUpdatePodSandbox", pod, nil, nil)
	return p.answer()
}

func (p *plugin) StopPodSandbox(_ context.Context, pod *api.PodSandbox) error {
	p.say("StopPodSandbox", pod, nil, nil)
	return p.answer()
}

func (p *plugin) RemovePodSandbox(_ context.Context, pod *api.PodSandbox) error {
	p.say("RemovePodSandbox", pod, nil, nil)
	return p.answer()
}

func (p *plugin) CreateContainer(_ context.Context, pod *api.PodSandbox, container *api.Container) (*api.ContainerAdjustment, []*api.ContainerUpdate, error) {
	p.say("CreateContainer", pod, container, nil)
	return p.cfg.Adjust, p.cfg.Update, p.answer()
}

func (p *plugin) PostCreateContainer(_ context.Context, pod *api.PodSandbox, container *api.Container) error {
	p.say("PostCreateContainer", pod, container, nil)
	return p.answer()
}

func (p *plugin) StartContainer(_ context.Context, pod *api.PodSandbox, container *api.Container) error {
	p.say("StartContainer", pod, container, nil)
	return p.answer()
}

func (p *plugin) PostStartContainer(_ context.Context, pod *api.PodSandbox, container *api.Container) error {
	p.say("PostStartContainer", pod, container, nil)
	return p.answer()
}

func (p *plugin) UpdateContainer(_ context.Context, pod *api.PodSandbox, container *api.Container, r *api.LinuxResources) ([]*api.ContainerUpdate, error) {
	p.say("UpdateContainer", pod, container, map[string]any{"resources": r})
	return p.cfg.Update, p.answer()
}

func (p *plugin) StopContainer(_ context.Context, pod *api.PodSandbox, container *api.Container) ([]*api.ContainerUpdate, error) {
	p.say("StopContainer", pod, container, nil)
	return nil, p.answer()
}

func (p *plugin) RemoveContainer(_ context.Context, pod *api.PodSandbox, container *api.Container) error {
	p.say("RemoveContainer", pod, container, nil)
	return p.answer()
}

func (p *plugin) ValidateContainerAdjustment(_ context.Context, req *api.ValidateContainerAdjustmentRequest) error {
	p.say("Validate", nil, nil, map[string]any{"adjust": req.Adjust, "owners": req.Owners, "plugins": req.Plugins})
	if p.cfg.Reject != "" {
		return errors.New(p.cfg.Reject)
	}
	return nil
}

func main() {
	name := flag.String("name", "", "name; given by the environment when NRI starts the plugin")
	index := flag.String("idx", "", "index, as the name")
	socket := flag.String("socket", "", "socket of NRI, unless it has started the plugin")
	flag.Parse()
	p := &plugin{out: os.Stdout}
	if path := os.Getenv("NRI_PLUGIN_SOCKET"); path != "" {
		// A plugin that NRI starts has its path for a hint where to write.
		file, err := os.OpenFile(os.Args[0]+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			panic(err)
		}
		p.out = file
	}
	options := []stub.Option{}
	if *name != "" {
		options = append(options, stub.WithPluginName(*name), stub.WithPluginIdx(*index), stub.WithSocketPath(*socket))
	}
	s, err := stub.New(p, options...)
	if err != nil {
		panic(err)
	}
	p.stub = s
	if err := s.Run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
