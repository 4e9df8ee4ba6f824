package daemon

import (
	"context"
	"errors"

	"seedbed/internal/await"
	"seedbed/node"
)

// TakenOver is the result of TakeOver.
type TakenOver struct {
	Torrent *node.Torrent
	New     bool // false: the session had the torrent already, and it is unchanged
	Adopted node.Adopted
}

// TakeOver adds a torrent that another client has, as Add does, and continues with the data that
// the client has stored; see node.Node.TakeOver. finalDir, if not "", is the folder for the data
// once it is complete. Hashing the sample may take minutes. When ctx ends, it continues in the
// background.
func (d *Daemon) TakeOver(ctx context.Context, r AddRequest, finalDir string, from node.Takeover) (o TakenOver, err error) {
	spec, err := d.spec(&r)
	if err != nil {
		return o, err
	}
	if o.Torrent = d.node.Torrent(spec.InfoHash()); o.Torrent != nil {
		return o, nil
	}
	if err := d.makeCategory(ctx, r.Category); err != nil {
		return o, err
	}
	if spec.Torrent == nil {
		from.Claim = nil
	}
	made, err := await.Result(ctx, func() (_ TakenOver, err error) {
		if spec.Dir, err = d.allowed().check(r.Dir); err != nil {
			return TakenOver{}, err
		}
		if finalDir != "" {
			if spec.FinalDir, err = d.allowed().check(finalDir); err != nil {
				return TakenOver{}, err
			}
		}
		t, adopted, err := d.node.TakeOver(spec, from)
		if err == nil {
			d.numbers.of(t.InfoHash())
			if !d.isIdle {
				d.queue.add(t)
			}
		}
		return TakenOver{t, true, adopted}, err
	})
	if errors.Is(err, node.ErrDuplicate) { // another client was faster
		if o.Torrent = d.node.Torrent(spec.InfoHash()); o.Torrent != nil {
			return o, nil
		}
	}
	if err != nil {
		return o, err
	}
	return made, nil
}
