package metainfo

import (
	"bytes"
	"cmp"
	"crypto/sha1"
	"crypto/sha256"
	"slices"

	"seedbed/internal/id"
)

// SenderError reports that a sender of metadata violated the protocol: one of the Err
// variables below.
type SenderError struct{ Reason string }

func (e *SenderError) Error() string { return "metadata: " + e.Reason }

var (
	ErrSize        = &SenderError{"the size is not between 1 byte and 64 MiB"}
	ErrResized     = &SenderError{"the size differs from the one that the sender announced before"}
	ErrUnrequested = &SenderError{"a block that was not requested from the sender"}
	ErrBlockLen    = &SenderError{"a block of the wrong length"}
	ErrLiar        = &SenderError{"the sender has sent wrong data before"}
)

const (
	// maxOutstanding bounds the blocks requested from one sender at once: 512 KiB in flight is
	// enough for most paths, and Transmission rejects more than 64.
	maxOutstanding = 32

	// maxSendersPerBlock bounds how many senders a block of a shared assembly is requested
	// from at once. With several, stalled senders do not delay the block.
	maxSendersPerBlock = 3
)

// Assembler collects the info dictionary from many senders (BEP 9). Senders that claim
// the same size start with one shared assembly, each sending different blocks. If it
// turns out wrong and one sender sent all of it, that sender is a liar. If several senders
// contributed, none is blamed yet: from then on each sender of that size fills its own
// assembly, whose hash shows whether it is honest. So an honest sender that answers
// completes the metadata alone, whatever the others do.
//
// All assemblies together reserve at most MaxInfo bytes; see activate. The caller handles
// timeouts, and calls Reject or Remove for a silent sender.
//
// After Block has returned an Info, or an error that is not a *SenderError, nothing more
// is requested and further blocks are ignored.
type Assembler struct {
	hash     id.ID
	v2       id.ID32
	groups   []*group // in order of the first claim of their size
	senders  map[uint32]*sender
	reserved int64 // bytes that active assemblies may use

	size int64 // of the complete metadata; 0 before
}

// group is the set of senders that claim the same size.
type group struct {
	size    int64
	members []*sender // present and not proven liars
	shared  assembly
	from    []*sender // senders of the blocks in shared
	pending []uint8   // number of senders with an open request, by block of shared

	solo     bool       // shared was wrong: each member fills its own assembly
	evidence []evidence // by block of the wrong shared assembly
}

type evidence struct {
	from *sender
	sum  [sha1.Size]byte
}

type sender struct {
	id          uint32
	group       *group
	marks       []mark // by block
	outstanding int    // requested blocks not answered
	own         assembly
	isLiar      bool // a proven liar
}

type mark uint8

const (
	requested     mark = 1 << iota // and not answered
	everRequested                  // requested at some time
	refused                        // rejected, or answered wrongly
	delivered                      // its block is in shared, or equals the one there
)

// assembly holds the blocks of one attempt. It may store data while it is active.
type assembly struct {
	active bool
	blocks [][]byte
	have   int64 // bytes
	count  int
}

// NewAssembler returns an assembler for the info dictionary with this infohash, which may
// be a truncated BEP 52 infohash, and with v2, unless that is zero.
func NewAssembler(hash id.ID, v2 id.ID32) *Assembler {
	return &Assembler{hash: hash, v2: v2, senders: make(map[uint32]*sender)}
}

// matches reports whether the blocks of y are the wanted info dictionary. They are hashed
// in place, because a copy would double the memory that wrong metadata takes.
func (a *Assembler) matches(y *assembly) bool {
	one, two := sha1.New(), sha256.New()
	for _, b := range y.blocks {
		one.Write(b)
		two.Write(b)
	}
	v1, v2 := id.ID(one.Sum(nil)), id.ID32(two.Sum(nil))
	if a.v2.IsZero() {
		// BEP 46: an item may identify a v2-only torrent by its truncated hash.
		return v1 == a.hash || v2.Short() == a.hash
	}
	return v2 == a.v2 && (a.v2.Short() == a.hash || v1 == a.hash)
}

// Size records the metadata_size of a sender's extension handshake (BEP 9). The error is
// ErrSize or ErrResized. Repeating the same size clears the sender's rejections, so that
// it may be asked again.
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

// Next returns a block to request from this sender, and counts it as requested. It may be
// called until ok is false. That can change after any call of Size, Block, Reject or Remove,
// also for other senders.
func (a *Assembler) Next(from uint32) (piece int, ok bool) {
	s := a.senders[from]
	if s == nil || s.isLiar || s.outstanding >= maxOutstanding || a.size != 0 || !a.activate(s) {
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
	s.marks[piece] |= requested | everRequested
	s.outstanding++
	if !g.solo {
		g.pending[piece]++
	}
	return piece, true
}

// pick returns the best block to request from s, or -1.
func (s *sender) pick() int {
	g := s.group
	if g.solo {
		for p, m := range s.marks {
			if s.own.blocks[p] == nil && m&(requested|refused) == 0 {
				return p
			}
		}
		return -1
	}
	best := -1
	for p, m := range s.marks {
		if g.shared.blocks[p] != nil || m&(requested|refused) != 0 || g.pending[p] >= maxSendersPerBlock {
			continue
		}
		if g.pending[p] == 0 {
			return p
		}
		// Other senders will probably send their blocks in order, so start at the other end.
		if best < 0 || g.pending[p] <= g.pending[best] {
			best = p
		}
	}
	return best
}

// Block handles the data of a block from a sender. The message's total_size is not used:
// the sender has announced it before (metadata_size), some clients send the block's
// length, and the hash decides. When the block completes the metadata, done is the
// result. liars lists senders that are now proven to have sent false data, once each. The
// error is a *SenderError, which is this sender's fault, or an *Error: the metadata is
// complete and matches the infohash, but is not a valid torrent.
func (a *Assembler) Block(from uint32, piece int, data []byte) (done *Info, liars []uint32, err error) {
	s := a.senders[from]
	switch {
	case s == nil:
		return nil, nil, ErrUnrequested
	case a.size != 0:
		return nil, nil, nil
	case s.isLiar:
		return nil, nil, ErrLiar
	case piece < 0 || piece >= len(s.marks) || s.marks[piece]&everRequested == 0:
		return nil, nil, ErrUnrequested
	}
	g := s.group
	s.answered(piece)
	if len(data) != g.blockLen(piece) {
		s.marks[piece] |= refused
		return nil, nil, ErrBlockLen
	}
	if g.solo {
		// A block is late if its assembly is not active any more or no longer needs it.
		if !s.own.active || !s.own.put(piece, bytes.Clone(data)) || s.own.count < g.blocks() {
			return nil, nil, nil
		}
		return a.finishSolo(s)
	}
	if !g.shared.active {
		return nil, nil, nil
	}
	if have := g.shared.blocks[piece]; have != nil {
		if bytes.Equal(have, data) {
			s.marks[piece] |= delivered
		}
		return nil, nil, nil
	}
	g.shared.put(piece, bytes.Clone(data))
	g.from[piece] = s
	s.marks[piece] |= delivered
	if g.shared.count < g.blocks() {
		return nil, nil, nil
	}
	return a.finishShared(g)
}

// Reject records that the sender will not send the block (BEP 9 reject), or has not sent
// it in time. The block is not requested from it again until Size is called again.
func (a *Assembler) Reject(from uint32, piece int) {
	s := a.senders[from]
	if s == nil || piece < 0 || piece >= len(s.marks) || s.marks[piece]&requested == 0 {
		return
	}
	s.answered(piece)
	s.marks[piece] |= refused
}

// Remove removes a sender. What it sent to a shared assembly is kept.
func (a *Assembler) Remove(from uint32) {
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

// Progress returns how many bytes the most complete assembly has, and its size; both are
// 0 while no size is known.
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

// answered records that a requested block has arrived or will not.
func (s *sender) answered(piece int) {
	if s.marks[piece]&requested == 0 {
		return
	}
	s.marks[piece] &^= requested
	s.outstanding--
	if g := s.group; !g.solo && g.shared.active {
		g.pending[piece]--
	}
}

// finishShared checks a full shared assembly.
func (a *Assembler) finishShared(g *group) (*Info, []uint32, error) {
	if a.matches(&g.shared) {
		return a.finish(g.shared.join(g.size))
	}
	first := g.from[0]
	if !slices.ContainsFunc(g.from, func(s *sender) bool { return s != first }) {
		a.deactivate(g, &g.shared)
		return nil, a.markLiar(first), nil
	}
	g.solo = true
	g.evidence = make([]evidence, g.blocks())
	for p, b := range g.shared.blocks {
		g.evidence[p] = evidence{from: g.from[p], sum: sha1.Sum(b)}
	}
	blocks := g.shared.blocks
	a.deactivate(g, &g.shared)
	// The sender that sent the most has the least left to send.
	order := slices.Clone(g.members)
	slices.SortStableFunc(order, func(x, y *sender) int { return cmp.Compare(y.deliveredBlocks(), x.deliveredBlocks()) })
	for _, s := range order {
		if s.deliveredBlocks() == 0 || !a.activate(s) {
			continue
		}
		for p, m := range s.marks {
			if m&delivered != 0 {
				s.own.put(p, blocks[p])
			}
		}
	}
	// A sender that sent every block, even as a duplicate, is proven wrong.
	var liars []uint32
	for _, s := range order {
		if s.own.count == g.blocks() {
			liars = append(liars, a.markLiar(s)...)
		}
	}
	return nil, liars, nil
}

// deliveredBlocks returns how many blocks of the shared assembly s sent.
func (s *sender) deliveredBlocks() (n int) {
	for _, m := range s.marks {
		if m&delivered != 0 {
			n++
		}
	}
	return n
}

// finishSolo checks an assembly that one sender filled alone.
func (a *Assembler) finishSolo(s *sender) (*Info, []uint32, error) {
	if a.matches(&s.own) {
		return a.finish(s.own.join(s.group.size))
	}
	return nil, a.markLiar(s), nil
}

// markLiar marks s as a proven liar.
func (a *Assembler) markLiar(s *sender) []uint32 {
	s.isLiar = true
	a.leave(s)
	return []uint32{s.id}
}

// leave removes s from its group.
func (a *Assembler) leave(s *sender) {
	g := s.group
	a.deactivate(g, &s.own)
	g.members = slices.DeleteFunc(g.members, func(o *sender) bool { return o == s })
}

// finish ends the assembly with verified metadata, and returns every sender of a block that
// differs from it.
func (a *Assembler) finish(raw []byte) (*Info, []uint32, error) {
	var liars []uint32
	judge := func(s *sender, isCorrect bool) {
		if !isCorrect && !s.isLiar {
			s.isLiar = true
			liars = append(liars, s.id)
		}
	}
	correct := func(p int) []byte {
		from := min(p*BlockSize, len(raw))
		return raw[from:min(from+BlockSize, len(raw))]
	}
	for _, g := range a.groups {
		for p, e := range g.evidence {
			judge(e.from, e.sum == sha1.Sum(correct(p)))
		}
		for p, b := range g.shared.blocks {
			if b != nil {
				judge(g.from[p], bytes.Equal(b, correct(p)))
			}
		}
		for _, s := range g.members {
			for p, b := range s.own.blocks {
				if b != nil {
					judge(s, bytes.Equal(b, correct(p)))
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

// blockLen returns the length of block p. BEP 9: "every piece is 16KiB [...] except the
// last".
func (g *group) blockLen(p int) int { return int(min(BlockSize, g.size-int64(p)*BlockSize)) }

// put stores b as block p. It returns false if there already was one.
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
