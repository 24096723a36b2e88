// SPDX-License-Identifier: MIT

// ttrpc-go server|client PATH: containerd's ttrpc as the other side of davit's.
// The client checks a server that has the same methods as this one, and prints
// one line for each check that holds.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/gogo/protobuf/types"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const service = "diag.OpenhclDiag"

func ping(ctx context.Context, unmarshal func(interface{}) error) (interface{}, error) {
	var in types.Empty
	if err := unmarshal(&in); err != nil {
		return nil, err
	}
	return &types.Empty{}, nil
}

func echo(ctx context.Context, unmarshal func(interface{}) error) (interface{}, error) {
	var in types.StringValue
	if err := unmarshal(&in); err != nil {
		return nil, err
	}
	return &in, nil
}

func fail(ctx context.Context, unmarshal func(interface{}) error) (interface{}, error) {
	return nil, status.Error(codes.NotFound, "no such thing")
}

func hold(ctx context.Context, unmarshal func(interface{}) error) (interface{}, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func metadata(ctx context.Context, unmarshal func(interface{}) error) (interface{}, error) {
	md, _ := ttrpc.GetMetadata(ctx)
	values, _ := md.Get("colour")
	return &types.StringValue{Value: strings.Join(values, ",")}, nil
}

func serve(path string) {
	server, err := ttrpc.NewServer()
	check(err)
	server.Register(service, map[string]ttrpc.Method{
		"Ping": ping, "Echo": echo, "Fail": fail, "Hold": hold, "Metadata": metadata,
	})
	l, err := net.Listen("unix", path)
	check(err)
	fmt.Println("ready")
	check(server.Serve(context.Background(), l))
}

func check(err error) {
	if err != nil {
		fmt.Println("not ok:", err)
		os.Exit(1)
	}
}

func want(ok bool, what string, got interface{}) {
	if !ok {
		check(fmt.Errorf("%s: got %v", what, got))
	}
	fmt.Println("ok", what)
}

func call(c *ttrpc.Client, ctx context.Context, method, text string) (string, error) {
	var out types.StringValue
	err := c.Call(ctx, service, method, &types.StringValue{Value: text}, &out)
	return out.Value, err
}

func pingErr(c *ttrpc.Client) error {
	var in, out types.Empty
	return c.Call(context.Background(), service, "Ping", &in, &out)
}

func client(path string) {
	conn, err := net.Dial("unix", path)
	check(err)
	c := ttrpc.NewClient(conn)
	ctx := context.Background()

	err = pingErr(c)
	want(err == nil, "ping", err)
	text, err := call(c, ctx, "Echo", "hello")
	want(err == nil && text == "hello", "echo", err)
	big := strings.Repeat("0123456789abcdef", 3<<16)
	text, err = call(c, ctx, "Echo", big)
	want(err == nil && bytes.Equal([]byte(text), []byte(big)), "3 MiB", err)

	_, err = call(c, ctx, "Frob", "")
	want(status.Code(err) == codes.Unimplemented &&
		strings.Contains(err.Error(), "unknown method Frob"), "unknown method", err)
	err = c.Call(ctx, "no.Such", "Ping", &types.Empty{}, &types.Empty{})
	want(status.Code(err) == codes.Unimplemented &&
		strings.Contains(err.Error(), "unknown service no.Such"), "unknown service", err)
	_, err = call(c, ctx, "Fail", "")
	want(status.Code(err) == codes.NotFound &&
		strings.Contains(err.Error(), "no such thing"), "failure", err)

	timed, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	_, err = call(c, timed, "Hold", "")
	cancel()
	want(errors.Is(err, context.DeadlineExceeded) ||
		status.Code(err) == codes.DeadlineExceeded, "deadline", err)
	cancelled, cancel := context.WithCancel(ctx)
	go cancel()
	_, err = call(c, cancelled, "Hold", "")
	want(err != nil, "cancel", err)
	_, err = call(c, ctx, "Echo", strings.Repeat("x", 4<<20))
	want(status.Code(err) == codes.ResourceExhausted, "too long", err)

	var wg sync.WaitGroup
	wrong := make(chan error, 32)
	for i := 0; i < 32; i++ {
		wg.Add(1)
		go func(i int) {
			defer wg.Done()
			for j := 0; j < 100; j++ {
				sent := fmt.Sprint(i, "-", j)
				got, err := call(c, ctx, "Echo", sent)
				if err != nil || got != sent {
					wrong <- fmt.Errorf("%q for %q: %v", got, sent, err)
					return
				}
			}
		}(i)
	}
	wg.Wait()
	close(wrong)
	err = <-wrong
	want(err == nil, "32 in flight", err)
	err = pingErr(c)
	want(err == nil, "ping at the end", err)
	c.Close()
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "ttrpc-go server|client PATH")
		os.Exit(2)
	}
	if os.Args[1] == "server" {
		serve(os.Args[2])
	} else {
		client(os.Args[2])
	}
}
