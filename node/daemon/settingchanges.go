package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"

	"seedbed/internal/statefile"
	"seedbed/node"
)

// A change is the change of a setting by a client.
type change struct {
	Value []string `json:"value"` // as Setting.texts returns it
	// Over is the given value that the change replaces. Nil is a change that was made while no
	// daemon ran: it replaces whatever value the next start is given.
	Over []string `json:"over"`
}

// changes are the changes of clients, by the names of the settings. They are never modified.
type changes map[string]change

// over returns the changes that still hold with the given settings.
func (c changes) over(given *Settings) changes {
	left := changes{}
	for name, ch := range c {
		is := FindSetting(name).texts(given)
		if ch.Over == nil {
			ch.Over = is
		}
		if slices.Equal(ch.Over, is) {
			left[name] = ch
		}
	}
	return left
}

// apply makes the changes to s.
func (c changes) apply(s *Settings) error {
	values := map[string][]string{}
	for name, ch := range c {
		values[name] = ch.Value
	}
	return setAll(s, values)
}

// with returns the changes, with the differences between two settings added. A setting that gets its
// given value back is not a change.
func (c changes) with(given, old, next *Settings) (changes, error) {
	all := maps.Clone(c)
	if old.Blocklist != next.Blocklist {
		return nil, givenOnly("blocklist")
	}
	for i := range Table {
		d := &Table[i]
		value := d.texts(next)
		if slices.Equal(value, d.texts(old)) {
			continue
		}
		if d.Given {
			return nil, givenOnly(d.Name)
		}
		if over := d.texts(given); slices.Equal(value, over) {
			delete(all, d.Name)
		} else {
			all[d.Name] = change{value, over}
		}
	}
	return all, nil
}

func givenOnly(name string) error {
	return node.NewFault(node.FaultPermission, fmt.Errorf("%s cannot be changed by a client", name), "set it in the settings file and send SIGHUP to the daemon")
}

// changesFile is the file in the state directory with the changes. One process at a time has it
// open: the daemon, or a command while no daemon runs.
type changesFile struct {
	path string
	lock *statefile.Lock
}

// openChanges reads the changes in a state directory, which exists, as readChanges does. It
// returns statefile.ErrLocked if another process has them open.
func openChanges(state string) (_ *changesFile, c changes, ignored, err error) {
	f := &changesFile{path: changesPath(state)}
	if f.lock, err = statefile.TryLock(f.path + ".lock"); err != nil {
		return nil, nil, nil, err
	}
	if c, ignored, err = readChanges(f.path); err != nil {
		return nil, nil, nil, errors.Join(err, f.close())
	}
	return f, c, ignored, nil
}

func changesPath(state string) string { return filepath.Join(state, "settings.json") }

// readChanges reads the changes in a file. It ignores those that another version of the program
// has made and this one cannot use, and returns an error for each of them in ignored.
func readChanges(path string) (c changes, ignored, err error) {
	b, err := statefile.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, nil, usage(fmt.Errorf("%s is damaged: %w", path, err), "remove it to undo the changes that were made while the daemon was running")
	}
	c = changes{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		ch, err := parseChange(name, all[name])
		if err != nil {
			ignored = errors.Join(ignored, err)
			continue
		}
		c[name] = ch
	}
	return c, ignored, nil
}

// parseChange returns the change of the setting with that name from its JSON.
func parseChange(name string, b []byte) (ch change, err error) {
	d := FindSetting(name)
	switch {
	case d == nil:
		return ch, UnknownSetting(name)
	case d.Given:
		return ch, givenOnly(name)
	}
	if json.Unmarshal(b, &ch) != nil {
		return ch, usage(fmt.Errorf("%s is saved in a form that this version does not read", name), "")
	}
	scratch := DefaultSettings()
	return ch, d.set(&scratch, ch.Value)
}

func (f *changesFile) write(c changes) error {
	b, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		return err
	}
	return statefile.WriteSync(f.path, append(b, '\n'))
}

func (f *changesFile) close() error { return f.lock.Release() }

// SaveSettings changes settings for the next daemon of a state directory, while none runs. It
// returns statefile.ErrLocked if one does.
func SaveSettings(state string, values map[string][]string) (err error) {
	s := DefaultSettings()
	if err := setAll(&s, values); err != nil {
		return err
	}
	if err := statefile.MkdirAll(state); err != nil {
		return err
	}
	f, c, _, err := openChanges(state) // the daemon reports what is ignored
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	all := changes{}
	maps.Copy(all, c)
	for name := range values {
		d := FindSetting(name)
		if d.Given {
			return givenOnly(name)
		}
		all[name] = change{Value: d.texts(&s)}
	}
	return f.write(all)
}
