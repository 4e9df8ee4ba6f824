package fleetcmd

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/report"
	"seedbed/node/view"
)

// printOwners prints what the nodes of a fleet do for a torrent.
func printOwners(a *app.App, o *view.FleetOwners) error {
	if a.JSON {
		return a.Put(o)
	}
	for _, h := range o.Holders {
		printHolder(a, h)
	}
	if len(o.Holders) > 1 {
		a.Result("together  sent %s; read %s from the store in %s", report.Size(o.Uploaded), report.Size(o.Fetched), report.Plural(int(o.Requests), "request"))
	}
	switch {
	case !o.Agree:
		a.Say("the nodes do not agree who owns it: nodes have joined or left, and it moves within seconds")
	case len(o.Owners) == 0:
		a.Say("no node owns a torrent yet: the daemon has just started")
	}
	return nil
}

func printHolder(a *app.App, h *view.FleetHolder) {
	about := []string{holds(h)}
	if h.Self {
		about = append(about, "this node")
	}
	a.Result("%s  %s", report.Exact(h.Name), strings.Join(about, ", "))
	if !h.Has {
		return
	}
	a.Result("    %s in its cache; %s connected, sent %s", report.Size(h.Cached), report.Plural(int(h.Connected), "peer"), report.Size(h.Uploaded))
	a.Result("    read %s from the store in %s", report.Size(h.Fetched), report.Plural(int(h.Requests), "request"))
}

// holds says in words what a node does for a torrent.
func holds(h *view.FleetHolder) string {
	isOwner := slices.Contains(h.Owners, h.Name)
	switch {
	case h.State == "silent":
		return "does not answer"
	case h.State == "lost":
		return "lost; its torrents move to others"
	case h.State == "other_store":
		return "has another store, and is not asked"
	case !h.Has && isOwner:
		return "owns it, but does not have it"
	case !h.Has:
		return "does not have it"
	case h.Announces && h.LastAnnounce != nil:
		return fmt.Sprintf("announces it, last %s ago", time.Duration(*h.LastAnnounce)*time.Second)
	case h.Announces:
		return "announces it, but no node of the DHT has accepted that yet"
	case isOwner:
		return "owns it, but does not announce it in the DHT"
	}
	return "serves it, and does not announce it"
}
