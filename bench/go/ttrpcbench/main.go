// SPDX-License-Identifier: MIT

// ttrpcbench server|client PATH: containerd's ttrpc, to be compared with
// rpc_peer. The client reads the same lines from stdin.
package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"sort"
	"sync"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/gogo/protobuf/types"
)

const service = "diag.OpenhclDiag"

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "ttrpcbench:", err)
		os.Exit(1)
	}
}

func serve(path string) {
	server, err := ttrpc.NewServer()
	check(err)
	server.Register(service, map[string]ttrpc.Method{
		"Ping": func(ctx context.Context, unmarshal func(interface{}) error) (interface{}, error) {
			var in types.Empty
			if err := unmarshal(&in); err != nil {
				return nil, err
			}
			return &types.Empty{}, nil
		},
	})
	l, err := net.Listen("unix", path)
	check(err)
	fmt.Println("ready")
	check(server.Serve(context.Background(), l))
}

func ping(c *ttrpc.Client) {
	var in, out types.Empty
	check(c.Call(context.Background(), service, "Ping", &in, &out))
}

func pings(c *ttrpc.Client, n int) {
	ns := make([]int64, n)
	for i := range ns {
		begin := time.Now()
		ping(c)
		ns[i] = time.Since(begin).Nanoseconds()
	}
	sort.Slice(ns, func(i, j int) bool { return ns[i] < ns[j] })
	fmt.Println(ns[n/2])
}

func flight(c *ttrpc.Client, n, k int) {
	var wg sync.WaitGroup
	begin := time.Now()
	for i := 0; i < k; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for j := 0; j < n/k; j++ {
				ping(c)
			}
		}()
	}
	wg.Wait()
	fmt.Printf("%.0f\n", float64(n/k*k)/time.Since(begin).Seconds())
}

func client(path string) {
	conn, err := net.Dial("unix", path)
	check(err)
	c := ttrpc.NewClient(conn)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var word string
		var n, k int
		fmt.Sscan(lines.Text(), &word, &n, &k)
		if word == "flight" {
			flight(c, n, k)
		} else {
			pings(c, n)
		}
	}
	c.Close()
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "ttrpcbench server|client PATH")
		os.Exit(2)
	}
	if os.Args[1] == "server" {
		serve(os.Args[2])
	} else {
		client(os.Args[2])
	}
}
