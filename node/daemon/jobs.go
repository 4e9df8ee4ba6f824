package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"seedbed/node"
)

const (
	// maxJobs is how many jobs may run at once. They read disks and query the DHT.
	maxJobs = 16
	// keptJobs is how many jobs that have ended are kept, so that clients can ask for their results.
	keptJobs = 100
	// jobEvery is the shortest time between two reports of progress.
	jobEvery = 100 * time.Millisecond
)

// A Job is work that takes long: one request starts it, and later ones ask for its result. It runs
// until it has ended, is cancelled, or the daemon closes.
type Job struct {
	ID      int64  // larger than those of every earlier run, so that a client cannot take a job for one of those
	Kind    string // what it does, such as publish
	Started time.Time

	jobs   *jobs
	cancel context.CancelFunc
	done   chan struct{}
	last   time.Time // of the last report of progress

	JobState // with jobs.mu held
}

// JobState is the state of a job at one moment.
type JobState struct {
	Done, Total int64 // bytes; 0 if the job does not count any
	Result      any   // what the job has found so far; not changed afterwards
	Ended       bool
	Err         error // of a job that has ended

	change int64 // of jobs.changes
}

// State returns the state of the job at this moment.
func (j *Job) State() JobState {
	j.jobs.mu.Lock()
	defer j.jobs.mu.Unlock()
	return j.JobState
}

// Finished returns a channel that is closed when the job has ended.
func (j *Job) Finished() <-chan struct{} { return j.done }

// Cancel asks the job to end.
func (j *Job) Cancel() { j.cancel() }

// Progress reports how many bytes are done.
func (j *Job) Progress(done, total int64) {
	j.jobs.mu.Lock()
	defer j.jobs.mu.Unlock()
	j.Done, j.Total = done, total
	if now := time.Now(); now.Sub(j.last) >= jobEvery {
		j.last = now
		j.jobs.changed(j)
	}
}

// Report replaces the result so far.
func (j *Job) Report(result any) {
	j.jobs.mu.Lock()
	defer j.jobs.mu.Unlock()
	j.Result = result
	j.jobs.changed(j)
}

// jobs are the jobs of a daemon.
type jobs struct {
	ctx context.Context // ends with the daemon
	wg  sync.WaitGroup

	mu       sync.Mutex
	last     int64 // number of the last job
	changes  int64 // counts changes of all jobs
	byID     map[int64]*Job
	watchers map[chan struct{}]struct{}
}

// ErrNoJob is returned for a job that does not exist, or has ended long ago.
var ErrNoJob = errors.New("there is no such job")

// ErrCancelled is the error of a job that was cancelled before it was done.
var ErrCancelled = errors.New("the job was cancelled")

// errTooManyJobs is the error if maxJobs jobs run.
var errTooManyJobs = node.NewFault(node.FaultBusy, fmt.Errorf("%d jobs run already", maxJobs), "wait until one of them has ended")

// start starts a job. do reports to it and returns its error.
func (s *jobs) start(kind string, do func(context.Context, *Job) error) (*Job, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return nil, node.ErrClosed
	}
	running := 0
	for _, j := range s.byID {
		if !j.Ended {
			running++
		}
	}
	if running >= maxJobs {
		return nil, errTooManyJobs
	}
	if s.byID == nil {
		s.byID, s.watchers = map[int64]*Job{}, map[chan struct{}]struct{}{}
	}
	s.last++
	j := &Job{ID: s.last, Kind: kind, Started: time.Now(), jobs: s, done: make(chan struct{})}
	ctx, cancel := context.WithCancel(s.ctx)
	j.cancel = cancel
	s.byID[j.ID] = j
	s.changed(j)
	s.wg.Go(func() {
		defer cancel()
		err := do(ctx, j)
		if errors.Is(err, context.Canceled) && ctx.Err() != nil {
			err = ErrCancelled
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		j.Ended, j.Err = true, err
		s.changed(j)
		s.forget()
		close(j.done)
	})
	return j, nil
}

// changed counts a change of j and wakes the watchers. mu is held.
func (s *jobs) changed(j *Job) {
	s.changes++
	j.change = s.changes
	for w := range s.watchers {
		select {
		case w <- struct{}{}:
		default:
		}
	}
}

// forget drops the oldest jobs that have ended, except the last keptJobs. mu is held.
func (s *jobs) forget() {
	ended := slices.Sorted(maps.Keys(s.byID))
	ended = slices.DeleteFunc(ended, func(n int64) bool { return !s.byID[n].Ended })
	for _, n := range ended[:max(len(ended)-keptJobs, 0)] {
		delete(s.byID, n)
	}
}

// list returns the jobs that have changed since a change, oldest change first, and the last
// change.
func (s *jobs) list(after int64) ([]*Job, int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*Job
	for _, j := range s.byID {
		if j.change > after {
			list = append(list, j)
		}
	}
	slices.SortFunc(list, func(a, b *Job) int { return cmp.Compare(a.change, b.change) })
	return list, s.changes
}

// Job returns a job by its number, or ErrNoJob.
func (d *Daemon) Job(number int64) (*Job, error) {
	d.jobs.mu.Lock()
	defer d.jobs.mu.Unlock()
	if j := d.jobs.byID[number]; j != nil {
		return j, nil
	}
	return nil, ErrNoJob
}

// Jobs returns the jobs that have changed since a change, 0 for all of them, and the last change.
func (d *Daemon) Jobs(after int64) ([]*Job, int64) { return d.jobs.list(after) }

// WatchJobs returns a channel that signals each change of a job, until stop is called.
func (d *Daemon) WatchJobs() (changed <-chan struct{}, stop func()) {
	s := &d.jobs
	w := make(chan struct{}, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watchers == nil {
		s.byID, s.watchers = map[int64]*Job{}, map[chan struct{}]struct{}{}
	}
	s.watchers[w] = struct{}{}
	return w, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers, w)
	}
}
