package peerconn

import (
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"seedbed/swarm/engine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// owner is a torrent that records its connection's calls. The byte at offset i of its
// content is contentAt(i).
type owner struct {
	frame       int
	pieceLength int64
	readErr     error

	mu       sync.Mutex
	arrivals []Arrival
	uploaded []engine.Block
	unread   []engine.Block
	reads    int
	fault    engine.Fault
	err      error
	ended    chan struct{}
}

func contentAt(i int64) byte { return byte(i*31>>3 + i>>14) }

func (o *owner) Arrived(list []Arrival) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.arrivals = append(o.arrivals, list...)
	return true
}

func (o *owner) ReadAt(b []byte, off int64) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.reads++
	for i := range b {
		b[i] = contentAt(off + int64(i))
	}
	return o.readErr
}

func (o *owner) PieceLength() int64 { return o.pieceLength }
func (o *owner) MaxFrame() int      { return o.frame }

func (o *owner) Uploaded(blocks []engine.Block) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.uploaded = append(o.uploaded, blocks...)
}

func (o *owner) Unread(blocks []engine.Block, _ error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.unread = append(o.unread, blocks...)
}

func (o *owner) Ended(f engine.Fault, err error) {
	o.fault, o.err = f, err
	close(o.ended)
}

func (o *owner) uploads() []engine.Block {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.uploaded)
}
