package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"seedbed/node"
)

// store has what a daemon asks of its object store, which is what it pays for, and what its cache saves.
func store(o *node.Objects) prometheus.Collector {
	g := new(group)
	requests := g.describe("store_requests_total", "Requests to the object store.", "kind")
	failures := g.describe("store_failures_total", "Requests that the object store did not answer as it should.")
	bytes := g.describe("store_bytes_total", "Bytes read from and written to the object store.", "operation")
	blocks := g.describe("store_cache_blocks", "Blocks of objects in the cache.")
	size := g.describe("store_cache_bytes", "Bytes of the blocks in the cache, and of those that are being fetched.")
	reads := g.describe("store_cache_reads_total", "Ranges that were wanted: in the cache (hit), or not (miss).", "result")
	g.collect = func(s sink) {
		c := o.Store.Counts()
		counter(s, requests, c.Gets, "get")
		counter(s, requests, c.Heads, "head")
		counter(s, requests, c.Lists, "list")
		counter(s, requests, c.Puts, "put")
		counter(s, failures, c.Failed)
		counter(s, bytes, c.Read, "read")
		counter(s, bytes, c.Written, "write")
		n, in := o.Shared.Cache.Size()
		gauge(s, blocks, n)
		gauge(s, size, in)
		hits, misses := o.Shared.Counts()
		counter(s, reads, hits, "hit")
		counter(s, reads, misses, "miss")
	}
	return g
}
