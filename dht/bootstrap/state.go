package bootstrap

import (
	"encoding/binary"
	"hash/crc32"
	"time"

	"seedbed/internal/id"
)

// State is the state that a server saves for its next run.
type State struct {
	IDs   [2]id.ID  // IPv4, IPv6; zero for none
	Saved time.Time // to the second
	Nodes [2][]byte // compact nodes

	// Fresh says that the nodes were saved so recently that they count as verified. It is
	// not saved; the code that reads the state sets it.
	Fresh bool
}

// The format of a saved State: the magic, the time (8 bytes), two ids, then for
// each family a count (4 bytes) and the nodes, then a CRC-32C of all that.
const (
	stateMagic = "seedbed ring 1\n\x00"
	stateHead  = len(stateMagic) + 8 + 2*id.Len

	// MaxState is the size of the largest State that is read.
	MaxState = 128 << 20
)

// StateError is the reason why a saved State is not used.
type StateError string

func (e StateError) Error() string { return "the saved ring of nodes " + string(e) }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Append appends the state in the format that ParseState reads.
func (s *State) Append(dst []byte) []byte {
	begin := len(dst)
	dst = append(dst, stateMagic...)
	dst = binary.BigEndian.AppendUint64(dst, uint64(s.Saved.Unix()))
	dst = append(append(dst, s.IDs[four][:]...), s.IDs[six][:]...)
	for f, nodes := range s.Nodes {
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(nodes)/nodeLen(f == six)))
		dst = append(dst, nodes...)
	}
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[begin:], castagnoli))
}

// ParseState reads the output of Append. The nodes are slices of b.
func ParseState(b []byte) (s State, err error) {
	switch {
	case len(b) > MaxState:
		return s, StateError("is too long")
	case len(b) < stateHead+4 || string(b[:len(stateMagic)]) != stateMagic:
		return s, StateError("has an unknown format")
	}
	b, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(b, castagnoli) != sum {
		return s, StateError("is damaged")
	}
	unix := binary.BigEndian.Uint64(b[len(stateMagic):])
	if unix > 1<<40 {
		return s, StateError("is damaged")
	}
	s.Saved = time.Unix(int64(unix), 0)
	copy(s.IDs[four][:], b[len(stateMagic)+8:])
	copy(s.IDs[six][:], b[len(stateMagic)+8+id.Len:])
	b = b[stateHead:]
	for f := range s.Nodes {
		if len(b) < 4 {
			return State{}, StateError("is truncated")
		}
		n := int64(binary.BigEndian.Uint32(b)) * int64(nodeLen(f == six))
		if b = b[4:]; n > int64(len(b)) {
			return State{}, StateError("is truncated")
		}
		s.Nodes[f], b = b[:n:n], b[n:]
	}
	if len(b) > 0 {
		return State{}, StateError("is damaged")
	}
	return s, nil
}

// State returns a copy of the state to save now.
func (s *Shared) State(now time.Time) State {
	st := State{IDs: s.ids, Saved: time.Unix(now.Unix(), 0)}
	for f, r := range s.rings {
		if r != nil {
			// Saved nodes that have not been pinged yet are saved again.
			st.Nodes[f] = append(append(make([]byte, 0, len(r.nodes)+len(r.saved)), r.nodes...), r.saved...)
		}
	}
	return st
}
