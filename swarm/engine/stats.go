package engine

import "seedbed/internal/mono"

// Stats returns a snapshot at time now.
func (e *Engine) Stats(now mono.Time) Stats {
	s := Stats{
		DownRate: e.req.intake.rate.Rate(now), UpRate: e.upRate.Rate(now), UpLimit: e.uploader.limit,
		Downloaded: e.req.intake.bytes, Uploaded: e.uploaded, Wasted: e.req.intake.wasted, Kept: e.req.intake.kept, HashFails: e.req.intake.hashFails,
		Known: e.book.known(), Dialing: e.book.dialing, Tried: e.book.tried, Refused: e.book.refused,
		Connected: e.open, Banned: e.book.bans.count(now), Dropped: e.dropped, Paused: e.paused, Broken: e.broken, MetaOffers: e.meta.offers,
	}
	c := e.content
	for _, p := range e.peers {
		if p.closing {
			continue
		}
		if e.meta.needs(&p.meta) {
			s.MetaPeers++
		}
		if c == nil {
			continue
		}
		if e.req.isSeed(&p.down) {
			s.Seeds++
		}
		if p.down.choked && p.down.interested {
			s.ChokedBy++
		}
	}
	if c == nil {
		s.MetaHave, s.MetaSize = e.meta.asm.Progress()
		return s
	}
	s.Metadata, s.Complete = true, !e.req.needsPieces()
	s.Size, s.Wanted, s.Have, s.HaveWanted = c.info.Payload(), c.wantedBytes, c.haveBytes, c.haveWantedBytes
	s.Pieces, s.HavePieces = c.n, c.nHave
	s.Availability = e.req.availability()
	return s
}

// Has reports whether a piece is verified.
func (e *Engine) Has(piece int) bool {
	c := e.content
	return c != nil && piece >= 0 && piece < c.n && c.have.Has(piece)
}

// Traffic returns the bytes of payload that were sent, received, and discarded, and when payload
// was last sent or received; 0 means never.
func (e *Engine) Traffic() (uploaded, downloaded, wasted int64, last mono.Time) {
	in := &e.req.intake
	return e.uploaded, in.bytes, in.wasted, max(e.lastSent, in.last)
}
