package publish

import (
	"errors"
	"fmt"
	"strings"

	"seedbed/internal/id"
	"seedbed/node"
)

// ErrUnknown reports that there is no publication with a name.
var ErrUnknown = errors.New("there is no such publication")

// minPrefix is the length of the shortest beginning of a target that names it.
const minPrefix = 4

// IsTarget reports whether name names a target: by all or at least four of its first digits.
func IsTarget(target id.ID, name string) bool {
	return len(name) >= minPrefix && strings.HasPrefix(target.String(), strings.ToLower(name))
}

// Find returns the index of the only publication of a list that name names: by its target (see
// IsTarget) or by the name of its key. The error is ErrUnknown, or a node.Fault of the kind
// node.FaultUsage if name names several.
func Find(list []Published, name string) (int, error) {
	found := -1
	var targets []string
	for i := range list {
		if p := &list[i]; p.KeyName == name || IsTarget(p.Target, name) {
			found = i
			targets = append(targets, fmt.Sprintf("%.8s (salt %q)", p.Target, p.Salt))
		}
	}
	switch len(targets) {
	case 0:
		return 0, ErrUnknown
	case 1:
		return found, nil
	}
	return 0, node.NewFault(node.FaultUsage, fmt.Errorf("%s names %d publications: %s", name, len(targets), strings.Join(targets, ", ")), "name one by its target")
}

// Unpublish ends a publication on record that no process publishes; it does what
// Publication.Remove does. name is as in Find; forget is node.Node.Forget of the node with the
// state directory, or node.Forget. A publication that has ended with its history kept stays as it
// is, unless keepHistory is false.
func Unpublish(state, name string, keepHistory bool, forget func(infohash id.ID) error) error {
	list, damaged := List(state)
	i, err := Find(list, name)
	switch {
	case errors.Is(err, ErrUnknown) && damaged != nil:
		return damaged
	case err != nil:
		return err
	}
	f, err := openFolder(state, list[i].Place)
	if err != nil {
		return err
	}
	var errs []error
	if hasStore(state) {
		errs = append(errs, oweEnd(state, list[i].Target))
	}
	for _, v := range f.file.Versions {
		infohash, err := id.ParseHex(v.InfoHash)
		if err == nil {
			err = forget(infohash)
		}
		errs = append(errs, err)
	}
	errs = append(errs, f.dropData(func(id.ID) bool { return false }), f.end(keepHistory))
	return errors.Join(errs...)
}

// end deletes the folder, or records that the publication has ended. It releases the lock.
func (f *folder) end(keepHistory bool) error {
	if !keepHistory {
		return f.remove()
	}
	next := f.file
	next.Ended = true
	err := errors.Join(f.save(&next), f.dropSealed())
	if err != nil {
		err = fmt.Errorf("cannot record that it is no longer published, so it is published again after a restart: %w", err)
	}
	return errors.Join(err, f.close())
}
