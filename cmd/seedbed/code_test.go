package main

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"seedbed/node/api/client"
)

// checkCode runs a command and checks its exit code: code N COMMAND ARGUMENT...
func checkCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N command argument...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var failed *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &failed) {
		got = failed.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// ready waits until the daemon of the state directory answers.
func ready(ts *testscript.TestScript, neg bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ts.Check(client.OverSocket(client.SocketPath(filepath.Join(ts.Getenv("XDG_STATE_HOME"), "seedbed"))).Ready(ctx))
}

// listed waits until the daemon of the state directory has a torrent.
func listed(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: listed INFOHASH")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	events, err := client.OverSocket(client.SocketPath(filepath.Join(ts.Getenv("XDG_STATE_HOME"), "seedbed"))).Events(ctx, 0)
	ts.Check(err)
	defer events.Close()
	found := errors.New("found")
	if err := events.Read(func(_ string, data []byte) error {
		if strings.Contains(string(data), args[0]) {
			return found
		}
		return nil
	}); !errors.Is(err, found) {
		ts.Fatalf("%v", err)
	}
}

// capture sets a variable to what a pattern matches in the output of the last command: capture
// VARIABLE PATTERN.
func capture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: capture VARIABLE PATTERN")
	}
	found := regexp.MustCompile("(?m)" + args[1]).FindString(ts.ReadFile("stdout"))
	if found == "" {
		ts.Fatalf("no match for %s", args[1])
	}
	ts.Setenv(args[0], found)
}
