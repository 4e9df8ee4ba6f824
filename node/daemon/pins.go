package daemon

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"seedbed/internal/await"
	"seedbed/internal/id"
	"seedbed/node/pins"
	"seedbed/node/publish"
)

// DefaultPinQuota is the default of Settings.PinQuota.
const DefaultPinQuota = 100 << 30

// pinsFolder is the folder of the pins in the download folder.
const pinsFolder = "pins"

// openPins resumes the pins on record. If the record cannot be read, that is a warning.
func (d *Daemon) openPins() {
	p := &d.publications
	m, err := pins.Open(pins.Config{Node: d.node, Quota: d.Settings().PinQuota, Ready: p.restored, Elsewhere: d.elsewhere,
		Dir: func() string { return filepath.Join(d.Dir(), pinsFolder) }})
	if err != nil {
		d.warn("the pins were not restored", err)
		return
	}
	p.pins.Store(m)
}

// elsewhere returns why a link needs no pin, or "".
func (d *Daemon) elsewhere(target id.ID) string {
	for _, pub := range d.Publications() {
		if pub.Describe().Target == target {
			return "this daemon publishes it"
		}
	}
	if f := d.follower(target); f != nil {
		return "this daemon follows it in " + f.Describe().Config.Dir
	}
	return ""
}

// ErrNoPin is returned for a pin or a subscription that does not exist.
var ErrNoPin = pins.ErrUnknown

var errPinsDamaged = errors.New("the record of the pins cannot be read; the log of the daemon says why")

// Pins returns the manager of the pins. The error is publish.ErrNoDHT without a DHT.
func (d *Daemon) Pins() (*pins.Manager, error) {
	if d.publications.publisher == nil {
		return nil, publish.ErrNoDHT
	}
	d.publications.awaitRestored(d.node)
	m := d.publications.pins.Load()
	if m == nil {
		return nil, errPinsDamaged
	}
	return m, nil
}

// FindPin returns the pin that name names: its id, at least four digits of the beginning of it, or
// its name. The error is ErrNoPin, or an *AmbiguousError.
func (d *Daemon) FindPin(name string) (*pins.Manager, pins.Status, error) {
	m, err := d.Pins()
	if err != nil {
		return nil, pins.Status{}, err
	}
	s, err := only(m.Pins(), name, ErrNoPin, func(s pins.Status) bool { return publish.IsTarget(s.ID, name) || s.Name != "" && s.Name == name })
	return m, s, err
}

// RemovePin ends a pin of the user; see pins.Manager.Remove. It continues when ctx ends.
func (d *Daemon) RemovePin(ctx context.Context, m *pins.Manager, of id.ID, deleteData bool) error {
	return await.Do(ctx, func() error {
		_, err := m.Remove(d.node.Context(), of, deleteData)
		return err
	})
}

// FindPinList returns the subscription that name names: its id, or at least four digits of the
// beginning of it.
func (d *Daemon) FindPinList(name string) (*pins.Manager, pins.Subscription, error) {
	m, err := d.Pins()
	if err != nil {
		return nil, pins.Subscription{}, err
	}
	s, err := only(m.Subscriptions(), name, ErrNoPin, func(s pins.Subscription) bool { return publish.IsTarget(s.ID, name) })
	return m, s, err
}

// UnsubscribePins ends a subscription; see pins.Manager.Unsubscribe. It continues when ctx ends.
func (d *Daemon) UnsubscribePins(ctx context.Context, m *pins.Manager, of id.ID) error {
	return await.Do(ctx, func() error { return m.Unsubscribe(d.node.Context(), of) })
}

// listedEvery is the interval at which a changed list of the pins is published.
const listedEvery = 5 * time.Second

// PublishPins starts a job that publishes the list of the user's pins under a key, and keeps it up
// to date. Its result is a publish.Outcome. Salt is "pins" if it is empty, so that the key can publish
// something else without a salt.
func (d *Daemon) PublishPins(ctx context.Context, key, salt string) (*Job, error) {
	m, err := d.Pins()
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(key) == "" {
		return nil, usage(errors.New("the list of pins is published under a key, but none is named"), "")
	}
	if salt == "" {
		salt = "pins"
	}
	path := filepath.Join(d.Dir(), pinsFolder, "list", "pins.txt")
	if err := await.Do(ctx, func() error { return m.List(path) }); err != nil {
		return nil, fmt.Errorf("the list of pins cannot be written: %w", err)
	}
	return d.Publish(ctx, PublishRequest{Key: key, Salt: salt, Path: path, Watch: listedEvery})
}
