package pins

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/statefile"
	"seedbed/magnet"
	"seedbed/node"
)

// The file pins/record in the state directory has all pins and subscriptions.
type record struct {
	Pins  []savedPin  `json:"pins"`
	Lists []savedList `json:"lists,omitempty"`
	// Endings are pins whose data may not be gone yet.
	Endings []savedEnding `json:"endings,omitempty"`
	// Listing is the path of the file that lists the user's pins, or "".
	Listing string `json:"listing,omitempty"`
	// ListName is the name of that list: random, and the same for good.
	ListName string `json:"list_name,omitempty"`
}

// savedPin is what a restart needs of a pin.
type savedPin struct {
	Link   string    `json:"link"`
	Name   string    `json:"name,omitempty"`
	Dir    string    `json:"dir"` // absolute
	Quota  int64     `json:"quota,omitempty"`
	Own    bool      `json:"own,omitempty"` // pinned by the user, not only by lists
	Added  time.Time `json:"added"`
	Charge charge    `json:"charge,omitzero"`
}

// savedList is what a restart needs of a subscription.
type savedList struct {
	Link  string   `json:"link"`
	Dir   string   `json:"dir"` // absolute
	Quota int64    `json:"quota"`
	Max   int      `json:"max"`
	Seq   int64    `json:"seq,omitempty"`   // of the version whose pins are held
	Wants []string `json:"wants,omitempty"` // the ids of these pins
}

func recordPath(state string) string { return filepath.Join(state, "pins", "record") }

// load takes up the record of the state directory, if there is one.
func (m *Manager) load() error {
	var r record
	_, err := node.ReadRecord(recordPath(m.node.StateDir()), &r, "move it away, and pin the links again")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	m.listing, m.listName = r.Listing, r.ListName
	var errs []error
	for _, s := range r.Pins {
		link, err := magnet.Parse(s.Link)
		if err != nil {
			errs = append(errs, fmt.Errorf("a pin was not restored: %w", err))
			continue
		}
		p := &pin{id: idOf(link), link: link, savedPin: s}
		if err := s.check(p.id); err != nil {
			errs = append(errs, fmt.Errorf("the pin of %s was not restored: %w", s.Link, err))
			continue
		}
		m.pins[p.id] = p
	}
	for _, s := range r.Lists {
		link, err := magnet.Parse(s.Link)
		if err != nil {
			errs = append(errs, fmt.Errorf("a subscription was not restored: %w", err))
			continue
		}
		l := &list{id: idOf(link), link: link, savedList: s, wants: wanted{}}
		if err := s.check(link); err != nil || m.listOf(l.id) != nil {
			errs = append(errs, fmt.Errorf("the subscription to %s was not restored: %w", s.Link, cmp.Or(err, errTwice)))
			continue
		}
		for _, text := range s.Wants {
			if w, err := id.ParseHex(text); err == nil {
				l.wants[w] = true
			}
		}
		m.lists = append(m.lists, l)
	}
	for _, s := range r.Endings {
		if err := m.loadEnding(s); err != nil {
			errs = append(errs, fmt.Errorf("what is left of %s was not removed: %w", s.Link, err))
		}
	}
	return errors.Join(errs...)
}

var errTwice = errors.New("it is on record twice")

// check returns an error for a pin that no Manager has written: the record may be damaged.
func (s *savedPin) check(of id.ID) error {
	c := &s.Charge
	if s.Quota < 0 || len(s.Name) > maxName || min(c.Current, c.Next, c.Full, c.NextSeq) < 0 {
		return errors.New("it has a negative number, or its name is too long")
	}
	return checkDir(s.Dir, of)
}

// check returns an error for a subscription that no Manager has written.
func (s *savedList) check(link *magnet.Link) error {
	if !link.HasPublicKey || s.Quota <= 0 || s.Max < 1 || s.Max > MaxPins {
		return errors.New("its link has no public key, or its limits are out of range")
	}
	return checkDir(s.Dir, idOf(link))
}

// checkDir returns an error for a folder that is not that of a pin, because folders of pins are deleted.
func checkDir(dir string, of id.ID) error {
	if !filepath.IsAbs(dir) || filepath.Base(dir) != of.String() {
		return fmt.Errorf("%s is not the folder of a pin", dir)
	}
	return nil
}

// save writes the record and the file that lists the pins, if they have changed.
func (m *Manager) save() error {
	m.saving.Lock()
	defer m.saving.Unlock()
	m.mu.Lock()
	if !m.unsaved {
		m.mu.Unlock()
		return nil
	}
	m.unsaved = false
	r := record{Pins: []savedPin{}, Listing: m.listing, ListName: m.listName}
	var own []*magnet.Link
	for _, p := range m.sorted() {
		r.Pins = append(r.Pins, p.savedPin)
		if p.Own {
			own = append(own, p.link)
		}
	}
	for _, l := range m.lists {
		s := l.savedList
		for w := range l.wants {
			s.Wants = append(s.Wants, w.String())
		}
		r.Lists = append(r.Lists, s)
	}
	for _, e := range m.endings {
		r.Endings = append(r.Endings, savedEnding{e.Link, e.Dir, e.deleteData})
	}
	m.mu.Unlock()
	b, err := json.MarshalIndent(r, "", " ")
	if err == nil {
		path := recordPath(m.node.StateDir())
		if err = statefile.MkdirAll(filepath.Dir(path)); err == nil {
			err = statefile.WriteSync(path, b)
		}
	}
	if r.Listing != "" {
		err = errors.Join(err, writeListing(r.Listing, FormatList(r.ListName, own)))
	}
	if err != nil {
		m.mu.Lock()
		m.unsaved = true
		m.mu.Unlock()
		return fmt.Errorf("the pins cannot be saved: %w", err)
	}
	return nil
}
