package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"seedbed/internal/addrs"
	"seedbed/internal/id"
	"seedbed/magnet"
	"seedbed/magnet/metainfo"
	"seedbed/swarm"
	"seedbed/swarm/engine"
	"seedbed/swarm/wire"
)

const (
	maxPatients   = 60 // peers that are tried
	patientsAtAll = 16 // at a time
	patientDial   = 5 * time.Second
	patientTalk   = 15 * time.Second // for everything after
)

// torrent goes the way of a download as far as the metadata.
func (e *examination) torrent(ctx context.Context, link *magnet.Link) {
	peers := e.lookup(ctx, link)
	if len(peers) == 0 || ctx.Err() != nil {
		return
	}
	w := newWard(e, link)
	begun := time.Now()
	w.visit(ctx, peers[:min(len(peers), maxPatients)])
	w.report(time.Since(begun))
}

// lookup finds the peers of the link: those it names, and those of the DHT.
func (e *examination) lookup(ctx context.Context, link *magnet.Link) (peers []netip.AddrPort) {
	for _, h := range link.Peers {
		dns, cancel := context.WithTimeout(ctx, 5*time.Second)
		as, err := resolveAll(dns, h)
		cancel()
		if err != nil {
			e.tell(Finding{Step: StepLookup, What: "x.pe", Verdict: Notice, Text: fmt.Sprintf("the peer %q of the link has no address: %s", h, dnsReason(err))})
			continue
		}
		peers = append(peers, as...)
	}
	if len(peers) > 0 {
		e.tell(Finding{Step: StepLookup, What: "x.pe", Text: "the link names " + count(len(peers), "peer")})
	}
	var mu sync.Mutex
	var found []netip.AddrPort
	r, err := e.v.GetPeers(ctx, link.Hash(), true, func(ps []netip.AddrPort) {
		mu.Lock()
		defer mu.Unlock()
		found = append(found, ps...)
	})
	if err != nil {
		return nil
	}
	mu.Lock()
	defer mu.Unlock()
	peers = append(peers, fewOfEachHost(found)...)
	f := Finding{Step: StepLookup, What: "DHT", Took: r.Took, Data: map[string]any{"asked": r.Asked, "answered": r.Answered, "peers": r.Peers,
		"first_peer_ms": r.FirstPeer.Seconds() * 1000, "seeds_estimate": r.Scrape.Seeds, "peers_estimate": r.Scrape.Peers}}
	f.Text = fmt.Sprintf("%s; %s asked, %d answered", count(r.Peers, "peer"), count(r.Asked, "node"), r.Answered)
	if r.Peers > 0 {
		f.Text += fmt.Sprintf("; the first peer after %.0f ms", r.FirstPeer.Seconds()*1000)
	}
	if s := r.Scrape; s.Filters > 0 {
		f.Text += fmt.Sprintf("; scraped: about %s and %s", count(s.Seeds, "seed"), count(s.Peers, "other peer"))
	}
	switch {
	case len(peers) > 0:
	case r.Answered == 0:
		f.Verdict, f.Advice = Bad, "no node answered: the DHT is out of reach, as the steps above say"
	default:
		f.Verdict, f.Advice = Bad, "nobody announces this torrent in the DHT now: check the link, try later, or give a peer in it (x.pe=)"
		if len(link.Trackers) > 0 {
			f.Advice = "nobody announces this torrent in the DHT now: its peers may know its trackers alone, which seedbed does not ask"
		}
	}
	e.tell(f)
	seen := map[netip.AddrPort]bool{}
	return slices.DeleteFunc(peers, func(a netip.AddrPort) bool {
		old := seen[a]
		seen[a] = true
		return old
	})
}

// fewOfEachHost returns those of the peers that the DHT named which are tried: three
// of a host at most, in rounds, and no port below 1024, so that nobody can aim the
// examination at a third party. Private addresses, where laboratories are, are all
// tried.
func fewOfEachHost(found []netip.AddrPort) (list []netip.AddrPort) {
	const most = 3
	var rounds [most][]netip.AddrPort
	hosts := map[netip.Addr]int{}
	slices.SortFunc(found, netip.AddrPort.Compare)
	for _, a := range slices.Compact(found) {
		if addrs.IsLocal(a.Addr()) {
			list = append(list, a)
			continue
		}
		host := addrs.Host(a.Addr())
		if a.Port() < engine.MinUnprovenPort || hosts[host] == most {
			continue
		}
		rounds[hosts[host]] = append(rounds[hosts[host]], a)
		hosts[host]++
	}
	for _, r := range rounds {
		list = append(list, r...)
	}
	return list
}

// ward is the peers under examination.
type ward struct {
	e        *examination
	infohash id.ID
	peerID   id.ID

	mu        sync.Mutex
	asm       *metainfo.Assembler
	next      uint32
	info      *metainfo.Info
	broken    error
	from      netip.AddrPort
	connected int
	shaken    int
	encrypted int            // of those shaken, the ones that wanted an encrypted handshake
	offering  int            // peers with metadata to give
	dials     map[string]int // faults by kind, of each stage
	shakes    map[string]int
	talks     map[string]int
}

func newWard(e *examination, link *magnet.Link) *ward {
	infohash := link.Hash()
	return &ward{e: e, infohash: infohash, peerID: newPeerID(), asm: metainfo.NewAssembler(infohash, link.V2),
		dials: map[string]int{}, shakes: map[string]int{}, talks: map[string]int{}}
}

func (w *ward) note(m map[string]int, what string) {
	w.mu.Lock()
	m[cmp.Or(what, "failed")]++
	w.mu.Unlock()
}

func (w *ward) count(n *int) {
	w.mu.Lock()
	*n++
	w.mu.Unlock()
}

// visit goes to the peers, several at a time, until one way or another the
// metadata is there.
func (w *ward) visit(ctx context.Context, peers []netip.AddrPort) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	slots := make(chan struct{}, patientsAtAll)
	var wg sync.WaitGroup
	for _, p := range peers {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			defer func() { <-slots }()
			w.peer(ctx, cancel, p)
		})
	}
	wg.Wait()
}

func (w *ward) peer(ctx context.Context, done func(), addr netip.AddrPort) {
	isConnected := false
	h, err := w.connect(ctx, addr, &isConnected)
	if isConnected {
		w.count(&w.connected)
	}
	switch {
	case ctx.Err() != nil:
		return
	case err != nil && !isConnected:
		w.note(w.dials, reasonText(err))
		return
	case err != nil:
		var we *wire.Error
		if errors.As(err, &we) {
			w.note(w.shakes, "no BitTorrent handshake")
		} else {
			w.note(w.shakes, reasonText(err))
		}
		return
	}
	defer h.Conn.Close()
	defer context.AfterFunc(ctx, func() { h.Conn.Close() })()
	if h.InfoHash != w.infohash {
		w.note(w.shakes, "another torrent")
		return
	}
	w.count(&w.shaken)
	if h.Encrypted {
		w.count(&w.encrypted)
	}
	if !h.Reserved.Extended() {
		w.note(w.talks, "without extensions")
		return
	}
	if err := h.Conn.SetDeadline(time.Now().Add(patientTalk)); err != nil {
		return
	}
	if why := w.talk(ctx, h.Conn, addr, done); why != "" && ctx.Err() == nil {
		w.note(w.talks, why)
	}
}

// connect dials a peer as a download does: in the clear, and encrypted where the peer
// wants that. isConnected is set when the peer has accepted a connection.
func (w *ward) connect(ctx context.Context, addr netip.AddrPort, isConnected *bool) (swarm.Handshake, error) {
	var r wire.Reserved
	r.SetExtended()
	o := swarm.Outgoing{
		Dial: func(ctx context.Context) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, patientDial)
			defer cancel()
			c, err := w.e.v.host.Dial(ctx, addr)
			*isConnected = *isConnected || err == nil
			return c, err
		},
		Hellos:  []swarm.OutgoingHello{{InfoHash: w.infohash, Bytes: wire.AppendHandshake(nil, r, w.infohash, w.peerID)}},
		Accepts: func(asked, answer id.ID) bool { return true }, // reported apart
	}
	h, _, err := o.Connect(ctx, false)
	return h, err
}

// talk asks for the metadata and says why that ended without it.
func (w *ward) talk(ctx context.Context, c net.Conn, addr netip.AddrPort, done func()) string {
	hello := wire.AppendExtHandshake(nil, wire.ExtHandshake{UtMetadata: wire.ExtMetadata, Named: wire.HasMetadata})
	if _, err := c.Write(wire.Append(nil, wire.Msg{Type: wire.Extended, Ext: wire.ExtHandshakeID, Payload: hello})); err != nil {
		return reasonText(err)
	}
	w.mu.Lock()
	w.next++
	me := w.next
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.asm.Gone(me)
		w.mu.Unlock()
	}()
	var theirs uint8 // the id under which the peer takes ut_metadata
	var frame []byte
	for {
		var prefix [wire.PrefixLen]byte
		if _, err := io.ReadFull(c, prefix[:]); err != nil {
			return talkReason(err, theirs)
		}
		n, err := wire.Length(prefix[:])
		if err != nil {
			return "a message too long"
		}
		frame = slices.Grow(frame[:0], n)[:n]
		if _, err := io.ReadFull(c, frame); err != nil {
			return talkReason(err, theirs)
		}
		m, err := wire.Parse(frame)
		if err != nil {
			return "a malformed message"
		}
		if m.Type != wire.Extended {
			continue
		}
		switch m.Ext {
		case wire.ExtHandshakeID:
			h, err := wire.ParseExtHandshake(m.Payload)
			if err != nil {
				return "a malformed extension handshake"
			}
			if theirs != 0 {
				continue
			}
			if theirs = h.UtMetadata; theirs == 0 || h.MetadataSize == 0 {
				return "has no metadata to give"
			}
			w.mu.Lock()
			w.offering++
			err = w.asm.Size(me, h.MetadataSize)
			w.mu.Unlock()
			if err != nil {
				return "an impossible size"
			}
		case wire.ExtMetadata:
			mm, err := wire.ParseMetadata(m.Payload)
			if err != nil {
				return "a malformed message"
			}
			if why := w.take(me, mm, addr); why != "" {
				return why
			}
			if w.over() {
				done()
				return ""
			}
			if mm.Type == wire.MetadataReject {
				return "refused to give it"
			}
		default:
			continue
		}
		if err := w.ask(c, me, theirs); err != nil {
			return reasonText(err)
		}
	}
}

func talkReason(err error, theirs uint8) string {
	why := reasonText(err)
	if theirs == 0 {
		return why + " before its extension handshake"
	}
	return why + " before it gave all"
}

func (w *ward) over() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.info != nil || w.broken != nil
}

func (w *ward) take(me uint32, m wire.MetadataMsg, addr netip.AddrPort) (why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch m.Type {
	case wire.MetadataReject:
		w.asm.Reject(me, m.Piece)
	case wire.MetadataData:
		info, liars, err := w.asm.Block(me, m.Piece, m.Data)
		var fault *metainfo.SenderError
		switch {
		case info != nil:
			w.info, w.from = info, addr
		case errors.As(err, &fault), slices.Contains(liars, me):
			return "false data"
		case err != nil:
			w.broken, w.from = err, addr
		}
	}
	return ""
}

// ask requests what the assembler wants of this peer next.
func (w *ward) ask(c net.Conn, me uint32, theirs uint8) error {
	var out []byte
	w.mu.Lock()
	for range 4 {
		piece, ok := w.asm.Next(me)
		if !ok {
			break
		}
		p := wire.AppendMetadata(nil, wire.MetadataMsg{Type: wire.MetadataRequest, Piece: piece})
		out = wire.Append(out, wire.Msg{Type: wire.Extended, Ext: theirs, Payload: p})
	}
	w.mu.Unlock()
	if len(out) == 0 {
		return nil
	}
	_, err := c.Write(out)
	return err
}

// faults is "12 timed out, 3 refused".
func faults(m map[string]int) string {
	keys := slices.Collect(maps.Keys(m))
	slices.SortFunc(keys, func(a, b string) int { return cmp.Or(cmp.Compare(m[b], m[a]), strings.Compare(a, b)) })
	var out []string
	for _, k := range keys {
		out = append(out, fmt.Sprintf("%d %s", m[k], k))
	}
	return strings.Join(out, ", ")
}

func total(m map[string]int) (n int) {
	for _, c := range m {
		n += c
	}
	return n
}

func (w *ward) report(took time.Duration) {
	tried := w.connected + total(w.dials)
	stage := func(step Step, good int, of int, did string, bad map[string]int, advice string) bool {
		f := Finding{Step: step, Text: fmt.Sprintf("%d of %s %s", good, count(of, "peer"), did), Data: map[string]any{"ok": good, "of": of, "faults": bad}}
		if len(bad) > 0 {
			f.Text += "; " + faults(bad)
		}
		if good == 0 {
			f.Verdict, f.Advice = Bad, advice
		}
		w.e.tell(f)
		return good > 0
	}
	advice := "these peers are gone or behind NATs of their own: try again later; if every torrent ends here, a firewall keeps TCP from going out"
	if w.dials["refused"] == tried && tried > 0 {
		advice = "these peers have stopped: others may come, try again later"
	}
	if !stage(StepDial, w.connected, tried, "took a connection", w.dials, advice) {
		return
	}
	did := "shook hands"
	if w.encrypted > 0 {
		did += fmt.Sprintf(", %d encrypted", w.encrypted)
	}
	if !stage(StepHandshake, w.shaken, w.connected, did, w.shakes,
		"peers that close at once are full, or have this torrent no more") {
		return
	}
	f := Finding{Step: StepMetadata, Took: took, Data: map[string]any{"offering": w.offering, "faults": w.talks}}
	switch {
	case w.info != nil:
		i := w.info
		f.Text = fmt.Sprintf("%q: %d bytes in %s and %s, the hash is right, from %s", i.Name, i.Length, count(len(i.Files), "file"), count(i.NumPieces(), "piece"), w.from)
		f.Data["name"], f.Data["size"], f.Data["pieces"], f.Data["files"] = i.Name, i.Length, i.NumPieces(), len(i.Files)
	case w.broken != nil:
		f.Verdict, f.Text = Bad, "complete, and no torrent that can be opened: "+w.broken.Error()
		f.Advice = "the link itself is at fault: ask whoever made it"
	default:
		have, size := w.asm.Progress()
		f.Verdict, f.Text = Bad, fmt.Sprintf("%d of %s offer it", w.offering, count(w.shaken, "peer"))
		if size > 0 {
			f.Text += fmt.Sprintf(", and gave %d of %d bytes", have, size)
		}
		if len(w.talks) > 0 {
			f.Text += "; " + faults(w.talks)
		}
		f.Advice = "these peers wait for the metadata themselves, or do not serve it: the torrent opens when one comes that has it"
	}
	w.e.tell(f)
}
