// Package hook informs other programs of the events of torrents: it runs commands and sends JSON to
// URLs.
//
// A command runs without a shell and with additional environment variables. A Runner runs at most
// four jobs at a time and keeps a queue of at most 1,000; a job that does not fit is a failure. A command may run for ten
// minutes; then it is killed. Its output goes to the log. A URL gets three attempts, each of at most
// 30 seconds. A failure is a warning and affects no torrent.
package hook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"sync"
	"time"

	"seedbed/internal/netx"
	"seedbed/internal/userfile"
)

const (
	maxRunning  = 4
	maxQueued   = 1000
	runWithin   = 10 * time.Minute
	closeWithin = 5 * time.Second
	postWithin  = 30 * time.Second
	idleWithin  = 90 * time.Second
	attempts    = 3
	retryAfter  = 2 * time.Second // the delay before the second attempt; it grows fivefold
)

// A Job is what to run and send for one event.
type Job struct {
	About    string     // for messages: "complete: film"
	Commands [][]string // each a program and its arguments
	URLs     []string
	Env      []string // NAME=VALUE, in addition to the environment of this process
	JSON     []byte   // for the URLs
	// Done, if not nil, is called after all commands and URLs were tried.
	Done func()
}

// Config configures a Runner.
type Config struct {
	Agent string // sent as User-Agent
	// Outbound opens the connections to URLs.
	Outbound netx.Outbound
	// Transport replaces connections in tests; nil: those of Outbound.
	Transport http.RoundTripper
	Log       *slog.Logger // gets the output of the commands; required
	Warn      func(error)  // called for failures, from any goroutine; required
}

// A Runner runs jobs. Its methods may be called from any goroutine.
type Runner struct {
	cfg    Config
	client *http.Client
	ctx    context.Context // ends when Close stops waiting
	stop   context.CancelFunc

	mu       sync.Mutex
	queue    []Job
	running  int
	isClosed bool
	workers  sync.WaitGroup
}

// New returns a Runner.
func New(cfg Config) *Runner {
	if cfg.Transport == nil {
		cfg.Transport = newTransport(cfg.Outbound)
	}
	r := &Runner{cfg: cfg, client: &http.Client{Timeout: postWithin, Transport: cfg.Transport}}
	r.ctx, r.stop = context.WithCancel(context.Background())
	return r
}

// newTransport returns the transport for URLs.
func newTransport(out netx.Outbound) *http.Transport {
	dial := func(ctx context.Context, network, hostPort string) (net.Conn, error) {
		return out.DialHost(ctx, network, hostPort, nil)
	}
	t := &http.Transport{DialContext: dial, ForceAttemptHTTP2: true, IdleConnTimeout: idleWithin}
	if out.IsZero() {
		t.Proxy = http.ProxyFromEnvironment
	}
	return t
}

// ErrFull is reported for a job that does not fit into the queue.
var ErrFull = errors.New("too many hooks are waiting")

// Run queues a job and returns at once. Done is not called for a job that does not fit.
func (r *Runner) Run(j Job) {
	r.mu.Lock()
	full := len(r.queue) >= maxQueued
	if !full && !r.isClosed {
		r.queue = append(r.queue, j)
		if r.running < maxRunning {
			r.running++
			r.workers.Go(r.work)
		}
	}
	r.mu.Unlock()
	if full {
		r.cfg.Warn(fmt.Errorf("%s: %w", j.About, ErrFull))
	}
}

// work does jobs until none is left.
func (r *Runner) work() {
	for {
		r.mu.Lock()
		if len(r.queue) == 0 || r.isClosed {
			r.running--
			r.mu.Unlock()
			return
		}
		j := r.queue[0]
		r.queue = r.queue[1:]
		r.mu.Unlock()
		r.do(&j)
	}
}

func (r *Runner) do(j *Job) {
	for _, words := range j.Commands {
		if err := r.command(j, words); err != nil {
			r.cfg.Warn(fmt.Errorf("%s: %s failed: %w", j.About, words[0], reason(err)))
		}
	}
	for _, to := range j.URLs {
		if err := r.post(j, to); err != nil {
			r.cfg.Warn(fmt.Errorf("%s: cannot send it to %s: %w", j.About, hostOf(to), reason(err)))
		}
	}
	if j.Done != nil && r.ctx.Err() == nil {
		j.Done()
	}
}

func (r *Runner) command(j *Job, words []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), runWithin) // it may outlive Close
	defer cancel()
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Env = append(os.Environ(), j.Env...)
	cmd.WaitDelay = closeWithin
	err := Relay(cmd, func(line string) { r.cfg.Log.Info("hook", "about", j.About, "output", line) })
	if ctx.Err() != nil {
		return fmt.Errorf("it ran for %v and was killed", runWithin)
	}
	return err
}

// post sends the JSON, up to three times.
func (r *Runner) post(j *Job, to string) (err error) {
	delay := retryAfter
	for attempt := range attempts {
		if attempt > 0 {
			select {
			case <-time.After(delay):
				delay *= 5
			case <-r.ctx.Done():
				return r.ctx.Err()
			}
		}
		var again bool
		if again, err = r.postOnce(j, to); !again {
			return err
		}
	}
	return err
}

// postOnce sends the JSON, and reports whether another attempt may help.
func (r *Runner) postOnce(j *Job, to string) (again bool, err error) {
	req, err := http.NewRequestWithContext(r.ctx, http.MethodPost, to, bytes.NewReader(j.JSON))
	if err != nil {
		return false, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", r.cfg.Agent)
	res, err := r.client.Do(req)
	if err != nil {
		return r.ctx.Err() == nil, err
	}
	defer res.Body.Close()
	_, _ = io.CopyN(io.Discard, res.Body, 64<<10) // so that the connection can be used again
	if res.StatusCode/100 != 2 {
		return res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests, fmt.Errorf("the answer is %s", res.Status)
	}
	return false, nil
}

// hostOf returns a URL without what may be secret in it.
func hostOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "a URL"
	}
	return u.Scheme + "://" + u.Host
}

// reason returns the cause of an error without the name of the command or the URL.
func reason(err error) error {
	var e *exec.Error
	var u *url.Error
	switch {
	case errors.As(err, &e):
		return e.Err
	case errors.As(err, &u):
		return u.Err
	}
	return userfile.Reason(err)
}

// Close discards the queued jobs, and waits up to five seconds for those that run. Commands that
// take longer keep running.
func (r *Runner) Close() {
	r.mu.Lock()
	r.isClosed, r.queue = true, nil
	r.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		r.workers.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(closeWithin):
	}
	r.stop()
	r.client.CloseIdleConnections()
}
