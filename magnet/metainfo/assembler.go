package metainfo

import (
	"bytes"
	"cmp"
	"crypto/sha1"
	"crypto/sha256"
	"slices"

	"seedbed/internal/id"
)

// SenderError is the fault of one sender of metadata: it is one of the Err
// variables below.
type SenderError struct{ Reason string }

func (e *SenderError) Error() string { return "metadata: " + e.Reason }

var (
	ErrSize     = &SenderError{"its size is not between 1 byte and 64 MiB"}
	ErrResized  = &SenderError{"its size is not what the sender said before"}
	ErrUnasked  = &SenderError{"a block that the sender was never asked for"}
	ErrBlockLen = &SenderError{"a block of the wrong length"}
	ErrLiar     = &SenderError{"the sender has sent false data before"}
)

const (
	// maxAsked bounds the blocks asked of one sender at once: 512 KiB in flight
	// fills most paths, and Transmission rejects what goes beyond 64.
	maxAsked = 32

	// maxAskers bounds the senders asked for one block at once while they share
	// an assembly: a few, so that one that stalls does not hold up the rest.
	maxAskers = 3
)

// Assembler collects the info dictionary from many senders (BEP 9). Senders
// that claim the same size begin with one shared assembly, each giving other
// blocks. If it comes out wrong and one sender gave all of it, that sender is
// a liar; if several did, nobody is blamed yet: from then on each sender of
// that size fills an assembly of its own, whose hash proves it right or a
// liar. So whatever the others do, a sender that is honest and answers
// completes alone.
//
// All assemblies together reserve at most MaxInfo bytes; see seat. Time is the
// caller's affair: it tells Reject or Gone of a sender that stays silent.
//
// Once Block has returned an Info, or an error that is not a *SenderError,
// nothing more is asked and further blocks are ignored.
type Assembler struct {
	hash     id.ID
	v2       id.ID32
	groups   []*group // by first claim of their size
	senders  map[uint32]*sender
	reserved int64 // bytes that seated assemblies may come to hold

	size int64 // of the finished metadata; 0 before
}

// group is the senders that claim one size.
type group struct {
	size    int64
	members []*sender // present and not proven liars
	shared  assembly
	from    []*sender // who gave the blocks of shared
	askers  []uint8   // by block of shared

	solo     bool       // shared came out wrong: every member for itself
	evidence []evidence // by block of the shared assembly that came out wrong
}

type evidence struct {
	from *sender
	sum  [sha1.Size]byte
}

type sender struct {
	id     uint32
	group  *group
	marks  []mark // by block
	out    int    // blocks asked and not answered
	own    assembly
	barred bool // a proven liar
}

type mark uint8

const (
	asked   mark = 1 << iota // and not answered
	ever                     // asked at some time
	refused                  // rejected, or answered badly
	gave                     // its block is in shared, or equal to the one there
)

// assembly is the blocks of one attempt. It may hold data while it is seated.
type assembly struct {
	seated bool
	blocks [][]byte
	have   int64 // bytes
	count  int
}

// NewAssembler is an assembler for the info dictionary with this infohash, which may be
// the beginning of the one of BEP 52, and with v2, if that is not zero.
func NewAssembler(hash id.ID, v2 id.ID32) *Assembler {
	return &Assembler{hash: hash, v2: v2, senders: make(map[uint32]*sender)}
}

// right reports whether the blocks of y are the info dictionary that is looked for. They
// are hashed where they are: a copy would double what false metadata costs.
func (a *Assembler) right(y *assembly) bool {
	one, two := sha1.New(), sha256.New()
	for _, b := range y.blocks {
		one.Write(b)
		two.Write(b)
	}
	v1, v2 := id.ID(one.Sum(nil)), id.ID32(two.Sum(nil))
	if a.v2.IsZero() {
		// BEP 46: an item names a torrent that is v2 alone by its hash cut short.
		return v1 == a.hash || v2.Short() == a.hash
	}
	return v2 == a.v2 && (a.v2.Short() == a.hash || v1 == a.hash)
}

// Size tells the metadata_size of a sender's extension handshake (BEP 9). The
// error is ErrSize or ErrResized. To say the same size again forgives the
// sender its rejections: a peer that was busy may be asked anew.
func (a *Assembler) Size(from uint32, size int64) error {
	if s := a.senders[from]; s != nil {
		if size != s.group.size {
			return ErrResized
		}
		for p := range s.marks {
			s.marks[p] &^= refused
		}
		return nil
	}
	if size < 1 || size > MaxInfo {
		return ErrSize
	}
	k := slices.IndexFunc(a.groups, func(g *group) bool { return g.size == size })
	if k < 0 {
		k = len(a.groups)
		a.groups = append(a.groups, &group{size: size})
	}
	g := a.groups[k]
	s := &sender{id: from, group: g}
	a.senders[from] = s
	g.members = append(g.members, s)
	return nil
}

// Next is a block to ask this sender for, which counts as asked from now on.
// It may be called until ok is false; false may become true with any Size,
// Block, Reject or Gone, of other senders too.
func (a *Assembler) Next(from uint32) (piece int, ok bool) {
	s := a.senders[from]
	if s == nil || s.barred || s.out >= maxAsked || a.size != 0 || !a.seat(s) {
		return 0, false
	}
	g := s.group
	if s.marks == nil {
		s.marks = make([]mark, g.blocks())
	}
	piece = s.pick()
	if piece < 0 {
		return 0, false
	}
	s.marks[piece] |= asked | ever
	s.out++
	if !g.solo {
		g.askers[piece]++
	}
	return piece, true
}

// pick is the block that s is best asked for, or -1.
func (s *sender) pick() int {
	g := s.group
	if g.solo {
		for p, m := range s.marks {
			if s.own.blocks[p] == nil && m&(asked|refused) == 0 {
				return p
			}
		}
		return -1
	}
	best := -1
	for p, m := range s.marks {
		if g.shared.blocks[p] != nil || m&(asked|refused) != 0 || g.askers[p] >= maxAskers {
			continue
		}
		if g.askers[p] == 0 {
			return p
		}
		// What others have been asked for too is likely to come from them in
		// order: begin at the other end.
		if best < 0 || g.askers[p] <= g.askers[best] {
			best = p
		}
	}
	return best
}

// Block takes the data of a block from a sender. The total_size of the message is not
// asked for: the sender has said it before (metadata_size), some clients put the length
// of the block there, and the hash decides. When the block completes the metadata, done is the result and nothing
// is left to do. liars are senders that are now proven to have sent false
// data; they are told once. The error is a *SenderError, which is this
// sender's fault, or an *Error: the metadata is complete and its hash right,
// but no torrent that can be opened.
func (a *Assembler) Block(from uint32, piece int, data []byte) (done *Info, liars []uint32, err error) {
	s := a.senders[from]
	switch {
	case s == nil:
		return nil, nil, ErrUnasked
	case a.size != 0:
		return nil, nil, nil
	case s.barred:
		return nil, nil, ErrLiar
	case piece < 0 || piece >= len(s.marks) || s.marks[piece]&ever == 0:
		return nil, nil, ErrUnasked
	}
	g := s.group
	s.answered(piece)
	if len(data) != g.blockLen(piece) {
		s.marks[piece] |= refused
		return nil, nil, ErrBlockLen
	}
	if g.solo {
		// A block is late if the seat or the need for it is gone.
		if !s.own.seated || !s.own.put(piece, bytes.Clone(data)) || s.own.count < g.blocks() {
			return nil, nil, nil
		}
		return a.finishSolo(s)
	}
	if !g.shared.seated {
		return nil, nil, nil
	}
	if have := g.shared.blocks[piece]; have != nil {
		if bytes.Equal(have, data) {
			s.marks[piece] |= gave
		}
		return nil, nil, nil
	}
	g.shared.put(piece, bytes.Clone(data))
	g.from[piece] = s
	s.marks[piece] |= gave
	if g.shared.count < g.blocks() {
		return nil, nil, nil
	}
	return a.finishShared(g)
}

// Reject tells that the sender will not give the block (BEP 9 reject), or has
// not given it in the time that the caller allows. It is not asked for that
// block again until Size is told again.
func (a *Assembler) Reject(from uint32, piece int) {
	s := a.senders[from]
	if s == nil || piece < 0 || piece >= len(s.marks) || s.marks[piece]&asked == 0 {
		return
	}
	s.answered(piece)
	s.marks[piece] |= refused
}

// Gone tells that the sender is no longer there. What it gave to a shared
// assembly stays.
func (a *Assembler) Gone(from uint32) {
	s := a.senders[from]
	if s == nil {
		return
	}
	delete(a.senders, from)
	for p := range s.marks {
		s.answered(p)
	}
	a.leave(s)
	a.prune(s.group)
}

// Progress is how many bytes the assembly that has come furthest holds, and
// its size; both are 0 while no size is known.
func (a *Assembler) Progress() (have, size int64) {
	if a.size != 0 {
		return a.size, a.size
	}
	for _, g := range a.groups {
		if size == 0 || g.shared.have > have {
			have, size = g.shared.have, g.size
		}
		for _, s := range g.members {
			if s.own.have > have {
				have, size = s.own.have, g.size
			}
		}
	}
	return have, size
}

func (s *sender) answered(piece int) {
	if s.marks[piece]&asked == 0 {
		return
	}
	s.marks[piece] &^= asked
	s.out--
	if g := s.group; !g.solo && g.shared.seated {
		g.askers[piece]--
	}
}

// finishShared judges a shared assembly that is full.
func (a *Assembler) finishShared(g *group) (*Info, []uint32, error) {
	if a.right(&g.shared) {
		return a.finish(g.shared.join(g.size))
	}
	first := g.from[0]
	if !slices.ContainsFunc(g.from, func(s *sender) bool { return s != first }) {
		a.unseat(g, &g.shared)
		return nil, a.bar(first), nil
	}
	g.solo = true
	g.evidence = make([]evidence, g.blocks())
	for p, b := range g.shared.blocks {
		g.evidence[p] = evidence{from: g.from[p], sum: sha1.Sum(b)}
	}
	blocks := g.shared.blocks
	a.unseat(g, &g.shared)
	// Whoever gave the most has the least left to give.
	order := slices.Clone(g.members)
	slices.SortStableFunc(order, func(x, y *sender) int { return cmp.Compare(y.given(), x.given()) })
	for _, s := range order {
		if s.given() == 0 || !a.seat(s) {
			continue
		}
		for p, m := range s.marks {
			if m&gave != 0 {
				s.own.put(p, blocks[p])
			}
		}
	}
	// One that gave every block, if only as a duplicate, is proven by that.
	var liars []uint32
	for _, s := range order {
		if s.own.count == g.blocks() {
			liars = append(liars, a.bar(s)...)
		}
	}
	return nil, liars, nil
}

func (s *sender) given() (n int) {
	for _, m := range s.marks {
		if m&gave != 0 {
			n++
		}
	}
	return n
}

// finishSolo judges an assembly that one sender filled alone.
func (a *Assembler) finishSolo(s *sender) (*Info, []uint32, error) {
	if a.right(&s.own) {
		return a.finish(s.own.join(s.group.size))
	}
	return nil, a.bar(s), nil
}

// bar makes s a proven liar.
func (a *Assembler) bar(s *sender) []uint32 {
	s.barred = true
	a.leave(s)
	return []uint32{s.id}
}

// leave takes s out of its group.
func (a *Assembler) leave(s *sender) {
	g := s.group
	a.unseat(g, &s.own)
	g.members = slices.DeleteFunc(g.members, func(o *sender) bool { return o == s })
}

// finish ends the work with metadata whose hash is right, and finds everyone
// who sent a block that differs from it.
func (a *Assembler) finish(raw []byte) (*Info, []uint32, error) {
	var liars []uint32
	blame := func(s *sender, right bool) {
		if !right && !s.barred {
			s.barred = true
			liars = append(liars, s.id)
		}
	}
	truth := func(p int) []byte {
		from := min(p*BlockSize, len(raw))
		return raw[from:min(from+BlockSize, len(raw))]
	}
	for _, g := range a.groups {
		for p, e := range g.evidence {
			blame(e.from, e.sum == sha1.Sum(truth(p)))
		}
		for p, b := range g.shared.blocks {
			if b != nil {
				blame(g.from[p], bytes.Equal(b, truth(p)))
			}
		}
		for _, s := range g.members {
			for p, b := range s.own.blocks {
				if b != nil {
					blame(s, bytes.Equal(b, truth(p)))
				}
			}
		}
	}
	slices.Sort(liars)
	a.size, a.groups, a.reserved = int64(len(raw)), nil, 0
	info, err := adoptInfo(raw)
	return info, liars, err
}

func (g *group) blocks() int { return int((g.size + BlockSize - 1) / BlockSize) }

// blockLen is BEP 9's: "every piece is 16KiB [...] except the last".
func (g *group) blockLen(p int) int { return int(min(BlockSize, g.size-int64(p)*BlockSize)) }

// put keeps b as block p; false means that there was one.
func (y *assembly) put(p int, b []byte) bool {
	if y.blocks[p] != nil {
		return false
	}
	y.blocks[p] = b
	y.have += int64(len(b))
	y.count++
	return true
}

func (y *assembly) join(size int64) []byte {
	raw := make([]byte, 0, size)
	for _, b := range y.blocks {
		raw = append(raw, b...)
	}
	return raw
}
