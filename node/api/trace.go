package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"seedbed/dht"
	"seedbed/internal/id"
	"seedbed/magnet"
	"seedbed/node"
	"seedbed/node/daemon/token"
	"seedbed/node/view"
)

const (
	// maxTraces limits the lookups that are shown live: the DHT runs only a few at a time.
	maxTraces = 2
	// maxSteps is the number of steps that wait for a slow client. Others are left out; a lookup
	// has a few hundred.
	maxSteps = 4096
	// maxTracedPeers limits the peers in the last line.
	maxTracedPeers = 1000
)

// TraceStep is a line of a lookup that is shown live.
type TraceStep struct {
	Event string  `json:"event" doc:"asked, answered or failed."`
	At    float64 `json:"at_ms" doc:"Since the start of the lookup."`
	Addr  string  `json:"addr" doc:"Of the node."`
	ID    string  `json:"id,omitempty" doc:"Of the node; left out if it is not known, and of failed."`
	Bits  *int    `json:"bits,omitempty" doc:"How many leading bits its id shares with the target."`
	RTT   float64 `json:"rtt_ms,omitempty" doc:"Of answered, like the next two."`
	Nodes int     `json:"nodes,omitempty" doc:"Nodes that it returned."`
	Peers int     `json:"peers,omitempty" doc:"Peers that it returned."`
}

// TraceEnd is the last line of a lookup that is shown live.
type TraceEnd struct {
	Event  string       `json:"event" doc:"done."`
	Addrs  []string     `json:"addrs" doc:"HOST:PORT of the peers that were found, each once; at most 1,000."`
	Scrape *view.Scrape `json:"scrape,omitempty" doc:"The estimated size of the swarm (BEP 33), of a lookup of peers."`
	Error  string       `json:"error,omitempty" doc:"Why the lookup ended early."`
	Lookup DHTLookup    `json:"lookup"`
}

func (a *api) addTrace(mux *http.ServeMux) {
	op := operation(http.MethodGet, "/v1/dht/trace", "trace-lookup", "Run a lookup in the DHT and show it live", token.Add)
	op.Description = "The answer has a JSON object on each line, as the lookup goes on: each query, its outcome, and at the end the result with \"event\": \"done\". At most two lookups are shown at a time. Closing the connection ends the lookup."
	op.Parameters = []*huma.Param{
		{Name: "target", In: "query", Required: true, Description: "An infohash, a magnet link with one, or any id of 40 hex digits.", Schema: &huma.Schema{Type: "string"}},
		{Name: "nodes", In: "query", Description: "Find the nodes closest to the target (find_node) in place of peers.", Schema: &huma.Schema{Type: "boolean"}},
	}
	a.addRaw(mux, op, map[string]string{"200": "The steps, one JSON object on each line."}, "application/x-ndjson", a.trace)
}

// trace serves a lookup, step by step.
func (a *api) trace(w http.ResponseWriter, r *http.Request) {
	d, err := a.Node().DHT()
	if err != nil {
		a.writeError(w, err)
		return
	}
	query := r.URL.Query()
	target, err := traceTarget(query.Get("target"))
	if err != nil {
		a.writeError(w, node.NewFault(node.FaultUsage, err, ""))
		return
	}
	select {
	case a.traces <- struct{}{}:
		defer func() { <-a.traces }()
	default:
		a.writeError(w, node.NewFault(node.FaultBusy, fmt.Errorf("%d lookups are shown already", maxTraces), "wait until one of them has ended"))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), lookupWithin)
	defer cancel()
	if ending := a.cfg.Ending; ending != nil {
		go func() {
			select {
			case <-ending:
				cancel()
			case <-ctx.Done():
			}
		}()
	}
	steps, begun := make(chan TraceStep, maxSteps), time.Now()
	traced := dht.WithTrace(ctx, func(s dht.Step) {
		select {
		case steps <- stepOf(&s, target, time.Since(begun)):
		default:
		}
	})
	end := make(chan TraceEnd, 1)
	go func() {
		end <- runTraced(traced, d, target, query.Get("nodes") == "true")
		close(steps)
	}()
	h := w.Header()
	h.Set("Content-Type", "application/x-ndjson")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // otherwise nginx buffers the lines
	w.WriteHeader(http.StatusOK)
	lines := lineWriter{json.NewEncoder(w), http.NewResponseController(w)}
	for s := range steps {
		if err == nil {
			if err = lines.write(&s); err != nil {
				cancel() // the client has gone
			}
		}
	}
	if last := <-end; err == nil {
		_ = lines.write(&last)
	}
}

// lineWriter writes JSON objects, each on a line that is sent at once.
type lineWriter struct {
	enc *json.Encoder
	to  *http.ResponseController
}

func (l *lineWriter) write(o any) error {
	_ = l.to.SetWriteDeadline(time.Now().Add(writeWithin)) // a writer without deadlines has none
	if err := l.enc.Encode(o); err != nil {
		return err
	}
	return l.to.Flush()
}

// traceTarget returns the id that a text names.
func traceTarget(text string) (id.ID, error) {
	if target, err := id.ParseHex(text); err == nil {
		return target, nil
	}
	link, err := magnet.ParseBare(text)
	if err == nil {
		err = link.Openable()
	}
	if err != nil {
		return id.ID{}, err
	}
	return link.Hash(), nil
}

func stepOf(s *dht.Step, target id.ID, at time.Duration) TraceStep {
	o := TraceStep{Event: s.Kind.String(), At: view.Millis(at), Addr: s.Addr.String(), RTT: view.Millis(s.RTT), Nodes: s.Nodes, Peers: s.Peers}
	if !s.ID.IsZero() {
		bits := target.CommonPrefix(s.ID)
		o.ID, o.Bits = s.ID.String(), &bits
	}
	return o
}

// runTraced runs a lookup of peers, or of nodes.
func runTraced(ctx context.Context, d *dht.DHT, target id.ID, nodes bool) TraceEnd {
	out := TraceEnd{Event: "done", Addrs: []string{}}
	var report dht.Report
	var err error
	if nodes {
		report, err = d.FindNode(ctx, target)
	} else {
		var r dht.PeersReport
		r, err = d.GetPeers(ctx, target, true, func(peers []netip.AddrPort) {
			for _, p := range peers[:min(len(peers), maxTracedPeers-len(out.Addrs))] {
				out.Addrs = append(out.Addrs, p.String())
			}
		})
		report = r.Report
		out.Scrape = &view.Scrape{Seeds: r.Scrape.Seeds, Peers: r.Scrape.Peers, Filters: r.Scrape.Filters, Implausible: r.Scrape.Dropped}
	}
	if err != nil {
		out.Error = err.Error()
	}
	out.Lookup = DHTLookup(view.LookupOf(&report))
	return out
}
