//go:build linux

package integration

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// scope is the lifetime of a process: that of a *testing.T, or the whole run.
type scope interface {
	Helper()
	Cleanup(func())
	Failed() bool
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// process is a running program whose output is kept for the report of a failure.
type process struct {
	t    scope
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser

	mu     sync.Mutex
	log    bytes.Buffer
	raced  bool
	change chan struct{} // closed and renewed at each line and at the end
	ended  chan struct{}
	err    error
}

// start runs argv until the test ends. It calls line with each line of stdout under the
// process's lock; if line is nil it logs them.
func start(t scope, name string, line func(*process, string), argv ...string) *process {
	t.Helper()
	p := &process{t: t, name: name, cmd: exec.Command(argv[0], argv[1:]...), change: make(chan struct{}), ended: make(chan struct{})}
	p.cmd.Env = withoutOurs()
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that its children end too
	p.log.WriteString("$ " + strings.Join(argv, " ") + "\n")
	if line == nil {
		line = (*process).logf
	}
	out, _ := p.cmd.StdoutPipe()
	bad, _ := p.cmd.StderrPipe()
	p.in, _ = p.cmd.StdinPipe()
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	var readers sync.WaitGroup
	readers.Go(func() { p.read(out, line) })
	readers.Go(func() { p.read(bad, (*process).logf) })
	go func() {
		readers.Wait()
		p.err = p.cmd.Wait()
		close(p.ended)
		p.mu.Lock()
		p.wake()
		p.mu.Unlock()
	}()
	t.Cleanup(func() {
		p.stop()
		if p.raced {
			t.Errorf("%s has a data race", name)
		}
		if log := p.tail(); t.Failed() && log != "" {
			t.Logf("--- %s\n%s", name, log)
		}
	})
	return p
}

// stop asks the program to end, and kills it if it does not.
func (p *process) stop() {
	p.in.Close()
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(10 * time.Second):
		syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.ended
	}
}

// dropLog discards the output so far if it is not relevant to later failures.
func (p *process) dropLog() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log.Reset()
}

func (p *process) read(r io.Reader, line func(*process, string)) {
	s := bufio.NewScanner(r)
	s.Buffer(nil, 16<<20)
	for s.Scan() {
		p.mu.Lock()
		line(p, s.Text())
		p.wake()
		p.mu.Unlock()
	}
	io.Copy(io.Discard, r)
}

func (p *process) logf(line string) {
	p.raced = p.raced || strings.Contains(line, "WARNING: DATA RACE")
	if p.log.Len() < 1<<20 {
		p.log.WriteString(line + "\n")
	}
}

func (p *process) wake() {
	close(p.change)
	p.change = make(chan struct{})
}

func (p *process) tail() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.log.Bytes()
	if len(b) > 12<<10 {
		head, _, _ := bytes.Cut(b, []byte("\n"))
		return string(head) + "\n…\n" + string(b[len(b)-11<<10:])
	}
	return string(b)
}

// until waits until ok returns true; it calls ok for each line that the program prints.
func (p *process) until(ctx context.Context, what string, ok func() bool) {
	p.t.Helper()
	look := func() (bool, <-chan struct{}) {
		p.mu.Lock()
		defer p.mu.Unlock() // also if ok panics, or the deferred functions of the test would wait for ever
		return ok(), p.change
	}
	for {
		done, change := look()
		if done {
			return
		}
		select {
		case <-change:
		case <-ctx.Done():
			p.t.Fatalf("%s: timeout while waiting for %s", p.name, what)
		case <-p.ended:
			if done, _ := look(); !done {
				p.t.Fatalf("%s ended (%v) before %s", p.name, p.err, what)
			}
			return
		}
	}
}

// exit waits for the end of the program and returns its exit code.
func (p *process) exit(ctx context.Context) int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-ctx.Done():
		p.t.Fatalf("%s did not end", p.name)
	}
	if e := (*exec.ExitError)(nil); errors.As(p.err, &e) {
		return e.ExitCode()
	}
	if p.err != nil {
		p.t.Fatalf("%s: %v", p.name, p.err)
	}
	return 0
}

// hasEnded reports whether the program has ended.
func (p *process) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// poll calls f every 100 ms until it returns true, as long as the program runs.
func (p *process) poll(ctx context.Context, what string, f func() bool) {
	p.t.Helper()
	poll(ctx, p.t, what, func() bool {
		if p.hasEnded() {
			p.t.Fatalf("%s ended (%v) before %s", p.name, p.err, what)
		}
		return f()
	})
}

// poll calls f every 100 ms until it returns true.
func poll(ctx context.Context, t scope, what string, f func() bool) {
	t.Helper()
	for !f() {
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("timeout while waiting for %s", what)
		}
	}
}
