package daemon

import (
	"context"
	"net"

	"seedbed/magnet"
	"seedbed/node"
	"seedbed/node/doctor"
	"seedbed/node/visit"
)

// Examine starts a job that finds out why connections do not work; see doctor.Examine. link may
// be nil. It uses sockets of its own. If the node has an object store, it is checked first; with write, objects
// are written there too. Its result is a []doctor.Finding.
func (d *Daemon) Examine(link *magnet.Link, write bool) (*Job, error) {
	cfg := d.visit
	return d.jobs.start("doctor", func(ctx context.Context, j *Job) error {
		var found []doctor.Finding
		report := func(f doctor.Finding) {
			found = append(found, f)
			j.Report(found[:len(found):len(found)])
		}
		if o := d.node.Objects(); o != nil {
			if err := doctor.ExamineStore(ctx, o.Store, write, report); err != nil {
				return err
			}
		}
		return doctor.Examine(ctx, cfg, link, report)
	})
}

// visitConfig returns the configuration of DHT queries with sockets of their own.
func visitConfig(cfg *node.Config) visit.Config {
	v := visit.Config{State: cfg.State, Bootstrap: cfg.Bootstrap, Outbound: cfg.Outbound, Log: cfg.Log}
	if host, _, err := net.SplitHostPort(cfg.Listen); err == nil { // else Listen is empty
		v.Listen = net.JoinHostPort(host, "0")
	}
	return v
}
