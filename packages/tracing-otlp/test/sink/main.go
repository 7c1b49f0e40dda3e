// An OTLP collector for tests, on OpenTelemetry's own messages: takes spans over HTTP and gRPC on loopback ports and
// writes each message as a line of JSON. The first line says where it listens.
package main

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

type sink struct {
	collector.UnimplementedTraceServiceServer
	mu sync.Mutex
	// How many messages are refused, as by one that is busy, before the first is taken.
	refuse int
}

func (s *sink) refused() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse--
	return s.refuse >= 0
}

func (s *sink) write(protocol string, headers map[string][]string, request *collector.ExportTraceServiceRequest) error {
	message, err := protojson.Marshal(request)
	if err != nil {
		return err
	}
	line, err := json.Marshal(map[string]any{"protocol": protocol, "headers": headers, "message": json.RawMessage(message)})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err = fmt.Println(string(line))
	return err
}

func (s *sink) Export(
	ctx context.Context, request *collector.ExportTraceServiceRequest,
) (*collector.ExportTraceServiceResponse, error) {
	if s.refused() {
		return nil, status.Error(codes.Unavailable, "busy")
	}
	headers, _ := metadata.FromIncomingContext(ctx)
	return &collector.ExportTraceServiceResponse{}, s.write("grpc", headers, request)
}

func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || r.URL.Path != "/v1/traces" {
		http.NotFound(w, r)
		return
	}
	if s.refused() {
		http.Error(w, "busy", http.StatusServiceUnavailable)
		return
	}
	request := &collector.ExportTraceServiceRequest{}
	var reader io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		reader = unzipped
	}
	body, err := io.ReadAll(reader)
	if err == nil {
		err = proto.Unmarshal(body, request)
	}
	if err == nil {
		err = s.write("http", r.Header, request)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer, _ := proto.Marshal(&collector.ExportTraceServiceResponse{})
	w.Header().Set("Content-Type", "application/x-protobuf")
	_, _ = w.Write(answer)
}

func main() {
	s := &sink{}
	flag.IntVar(&s.refuse, "refuse", 0, "messages that are refused at first")
	flag.Parse()
	web, err := net.Listen("tcp", "127.0.0.1:0")
	exitOn(err)
	rpc, err := net.Listen("tcp", "127.0.0.1:0")
	exitOn(err)
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, s)
	fmt.Printf("{\"http\":%q,\"grpc\":%q}\n", web.Addr(), rpc.Addr())
	go func() { exitOn(server.Serve(rpc)) }()
	exitOn(http.Serve(web, s))
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
