package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"seedbed/node/daemon"
)

// disk has what a daemon does with its disks. The space is the last that was measured.
func disk(d *daemon.Daemon) prometheus.Collector {
	g := new(group)
	bytes := g.describe("disk_bytes_total", "Bytes of torrents' files read for uploads and written, without the hashing of existing data.", "operation")
	queue := g.describe("disk_queue_jobs", "Reads for uploads, and chunks to hash and write, that wait or are being served.", "operation")
	failures := g.describe("disk_failures_total", "Failed attempts to open, read, write, sync or recover the files of torrents.")
	buffers := g.describe("piece_buffer_bytes", "Memory that is allocated for pieces.")
	most := g.describe("piece_buffer_limit_bytes", "Maximum of seedbed_piece_buffer_bytes.")
	free := g.describe("disk_free_bytes", "Free space of the file system of the download folder.")
	size := g.describe("disk_size_bytes", "Size of the file system of the download folder.")
	measured := g.describe("disk_measured_timestamp_seconds", "When the free space was measured. It does not advance while the disk hangs.")
	g.collect = func(s sink) {
		c := d.Node().Counters()
		counter(s, bytes, c.Read, "read")
		counter(s, bytes, c.Written, "write")
		gauge(s, queue, c.Reads, "read")
		gauge(s, queue, c.Writes, "write")
		counter(s, failures, c.StorageFailures)
		gauge(s, buffers, c.Held)
		gauge(s, most, c.Memory)
		if space, at, ok := d.LastSpace(); ok {
			gauge(s, free, space.Free)
			gauge(s, size, space.Total)
			gauge(s, measured, float64(at.UnixMilli())/1000)
		}
	}
	return g
}
