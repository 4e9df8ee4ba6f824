//go:build linux

package integration

import (
	"context"
	_ "embed"
	"encoding/json"
	"sync"
	"testing"
	"time"
)

// hyperdrive is a process of the npm package hyperdrive, which is to its own DHT and connections what publishing is to
// BitTorrent. A script controls it.
type hyperdrive struct {
	*process
	events []hyperEvent
}

// hyperEvent is a line that the script prints.
type hyperEvent struct {
	Event     string
	Bootstrap json.RawMessage
	Key       string
	Port      int
	Version   int64
	At        int64 // microseconds since 1970
	Peers     int
}

func (e hyperEvent) at() time.Time { return time.UnixMicro(e.At) }

//go:embed peers/hyperdrive/peer.mjs
var hyperdriveScript string

var hyperdrivePath = sync.OnceValues(func() (string, error) { return npmScript("hyperdrive", hyperdriveScript) })

func missingHyperdrive() string { return missingNPM("hyperdrive", "hyperdrive") }

// startHyperdrive runs the script with the settings that it describes.
func startHyperdrive(t testing.TB, name string, settings map[string]any) *hyperdrive {
	t.Helper()
	return startHyperdriveWith(t, hyperdrivePath, name, settings)
}

// startHyperdriveWith is startHyperdrive with another script.
func startHyperdriveWith(t testing.TB, path func() (string, error), name string, settings map[string]any) *hyperdrive {
	t.Helper()
	script, err := path()
	must(t, err)
	h := &hyperdrive{}
	h.process = start(t, name, func(p *process, line string) {
		p.logf(line)
		var e hyperEvent
		if json.Unmarshal([]byte(line), &e) == nil {
			h.events = append(h.events, e)
		}
	}, "node", script, encode(settings))
	return h
}

// wait returns the first event of this name and version.
func (h *hyperdrive) wait(ctx context.Context, name string, version int64) (found hyperEvent) {
	h.t.Helper()
	h.until(ctx, "the event "+name, func() (ok bool) {
		found, ok = h.find(name, version)
		return ok
	})
	return found
}

// find returns the first event of this name and version so far. The lock of the process is held.
func (h *hyperdrive) find(name string, version int64) (found hyperEvent, ok bool) {
	for _, e := range h.events {
		if e.Event == name && e.Version == version {
			return e, true
		}
	}
	return found, false
}

// within is like wait, but gives up when a time has come.
func (h *hyperdrive) within(end time.Time, name string, version int64) (hyperEvent, bool) {
	for {
		h.mu.Lock()
		e, ok := h.find(name, version)
		h.mu.Unlock()
		if ok || time.Now().After(end) {
			return e, ok
		}
		time.Sleep(10 * time.Millisecond)
	}
}
