package api

import (
	"context"

	"seedbed/node"
)

type piecesInput struct {
	TorrentPath
	Buckets int `query:"buckets" minimum:"0" maximum:"4096" doc:"The maximum number of ranges of pieces in the answer; 0 means every piece."`
	From    int `query:"from" minimum:"0" doc:"With buckets: the first piece of the first range."`
	To      int `query:"to" minimum:"0" doc:"With buckets: the piece after the last range; 0 means the end of the torrent."`
}

// PieceMap says which pieces are verified here, and which the connected peers have.
type PieceMap struct {
	Pieces  int          `json:"pieces" doc:"The number of pieces; 0 while the metadata is not known."`
	Have    []byte       `json:"have" doc:"The verified pieces: a bitfield as in BEP 3, in base64. Empty with buckets, like the next two."`
	Begun   []byte       `json:"begun" doc:"The pieces that are being downloaded, in the same form."`
	Peers   []int        `json:"peers" doc:"How many connected peers have each piece; empty while the torrent does not run."`
	Copies  float64      `json:"copies" doc:"How many copies of the data the connected peers have together: the number that every piece reaches, plus the share of pieces with more."`
	Buckets *PieceRanges `json:"buckets,omitempty" doc:"Ranges of pieces that differ by at most one in length."`
}

// PieceRanges describes ranges of pieces, in their order. Range i has the pieces from From[i] up to
// From[i+1], or up to To.
type PieceRanges struct {
	To    int   `json:"to" doc:"The piece after the last range."`
	From  []int `json:"from" doc:"The first piece of each range, from 0."`
	Have  []int `json:"have" doc:"How many pieces of each range are verified."`
	Begun []int `json:"begun" doc:"How many are being downloaded."`
	Peers []int `json:"peers" doc:"How many connected peers have the rarest piece of each range; empty while the torrent does not run."`
}

func (a *api) pieces(_ context.Context, in *piecesInput) (*struct{ Body PieceMap }, error) {
	t, err := a.Find(in.ID)
	if err != nil {
		return nil, a.problem(err)
	}
	p, s := t.Pieces(), t.Snapshot()
	out := PieceMap{Pieces: p.Have.Len(), Have: []byte{}, Begun: []byte{}, Peers: []int{}, Copies: s.Availability}
	if in.Buckets > 0 {
		out.Buckets = rangesOf(&p, in.From, in.To, in.Buckets)
		return &struct{ Body PieceMap }{out}, nil
	}
	out.Have, out.Begun = p.Have.AppendTo(out.Have), p.Begun.AppendTo(out.Begun)
	if p.Peers != nil {
		out.Peers = p.Peers
	}
	return &struct{ Body PieceMap }{out}, nil
}

// rangesOf describes the pieces from first up to end in at most limit ranges; end 0 means all that follow.
func rangesOf(p *node.Pieces, first, end, limit int) *PieceRanges {
	all := p.Have.Len()
	if end == 0 || end > all {
		end = all
	}
	first = min(first, end)
	n := end - first
	count := min(limit, n)
	out := &PieceRanges{To: end, From: make([]int, count), Have: make([]int, count), Begun: make([]int, count), Peers: []int{}}
	if len(p.Peers) == all {
		out.Peers = make([]int, count)
	}
	for i := range count {
		from, to := first+int(int64(n)*int64(i)/int64(count)), first+int(int64(n)*int64(i+1)/int64(count))
		out.From[i] = from
		for k := from; k < to; k++ {
			if p.Have.Has(k) {
				out.Have[i]++
			}
			if p.Begun.Has(k) {
				out.Begun[i]++
			}
			if len(out.Peers) > 0 && (k == from || p.Peers[k] < out.Peers[i]) {
				out.Peers[i] = p.Peers[k]
			}
		}
	}
	return out
}
