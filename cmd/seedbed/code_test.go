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

	"seedbed/internal/await"
	"seedbed/node/api/client"
)

// patience is the time limit of the tests, far longer than anything takes.
const patience = 3 * time.Minute

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

// daemonOf returns a client of the daemon of the state directory.
func daemonOf(ts *testscript.TestScript) *client.Client {
	return client.OverSocket(client.SocketPath(filepath.Join(ts.Getenv("XDG_STATE_HOME"), "seedbed")))
}

// ready waits until the daemon answers.
func ready(ts *testscript.TestScript, _ bool, _ []string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ts.Check(daemonOf(ts).Ready(ctx))
}

// joined waits until the daemon knows a node of the DHT.
func joined(ts *testscript.TestScript, _ bool, _ []string) {
	poll(ts, "it knows no node", func(ctx context.Context) bool {
		s, err := daemonOf(ts).DHT(ctx)
		ts.Check(err)
		return len(s.Nodes) > 0
	})
}

// reaches waits until a torrent of the daemon is in a state: reaches NUMBER STATE. A torrent that is
// added is checked first.
func reaches(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: reaches NUMBER STATE")
	}
	poll(ts, strings.Join(args, " is never "), func(ctx context.Context) bool {
		t, err := daemonOf(ts).Torrent(ctx, args[0])
		ts.Check(err)
		return t.State == args[1]
	})
}

// poll waits until ok returns true.
func poll(ts *testscript.TestScript, otherwise string, ok func(context.Context) bool) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for !ok(ctx) {
		if await.Sleep(ctx, 10*time.Millisecond) != nil {
			ts.Fatalf("%s", otherwise)
		}
	}
}

// listed waits until the daemon has a torrent.
func listed(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: listed INFOHASH")
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	events, err := daemonOf(ts).Events(ctx, 0)
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

// pinned waits until a pattern matches the output of seedbed pin list, which stays that of the last command.
func pinned(ts *testscript.TestScript, neg bool, args []string) {
	pollList(ts, neg, args, "pin", "list")
}

// inFleet waits until a pattern matches what seedbed fleet status prints: fleet PATTERN.
func inFleet(ts *testscript.TestScript, neg bool, args []string) {
	pollList(ts, neg, args, "fleet", "status")
}

// settled waits until a pattern matches the owners of a torrent: settled INFOHASH PATTERN.
func settled(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: settled INFOHASH PATTERN")
	}
	pollList(ts, neg, args[1:], "fleet", "status", args[0])
}

// pollList runs a command until the pattern that is its only argument matches the output.
func pollList(ts *testscript.TestScript, neg bool, args []string, command ...string) {
	if neg || len(args) != 1 {
		ts.Fatalf("the only argument is a pattern for the output of %s", strings.Join(command, " "))
	}
	pattern := regexp.MustCompile("(?m)" + args[0])
	poll(ts, "no match for "+args[0], func(context.Context) bool {
		ts.Check(ts.Exec("seedbed", command...))
		return pattern.MatchString(ts.ReadFile("stdout"))
	})
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
