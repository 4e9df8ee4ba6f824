package transmission

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"seedbed/internal/reachability"
	"seedbed/node"
	"seedbed/node/daemon"
	"seedbed/node/lifecycle"
)

// A sessionField is a setting or a fact of the whole node.
type sessionField struct {
	name  string
	kind  kind
	write func(*writer, *request)
}

// sessionFields are all fields of session-get, in the order of the answer.
var sessionFields []sessionField

func sessionDefine(name string, k kind, write func(*writer, *request)) {
	sessionFields = append(sessionFields, sessionField{name, k, write})
}

func sessionInteger(name string, get func(*request) int64) {
	sessionDefine(name, kindInteger, func(w *writer, r *request) { w.integer(get(r)) })
}

func sessionBoolean(name string, get func(*request) bool) {
	sessionDefine(name, kindBoolean, func(w *writer, r *request) { w.boolean(get(r)) })
}

func sessionText(name string, get func(*request) string) {
	sessionDefine(name, kindString, func(w *writer, r *request) { w.text(get(r)) })
}

// always returns a function for a field whose value never changes, because this node has no such
// setting.
func always[T any](v T) func(*request) T { return func(*request) T { return v } }

func (r *request) settings() daemon.Settings { return r.Settings() }

func init() {
	sessionText("version", func(r *request) string { return claimed + " (seedbed " + r.cfg.Version + ")" })
	sessionInteger("rpc_version", always[int64](rpcVersion))
	sessionInteger("rpc_version_minimum", always[int64](rpcVersionMin))
	sessionText("rpc_version_semver", always(rpcSemver))
	sessionText("session_id", func(r *request) string { return r.session })
	sessionText("config_dir", func(r *request) string { return r.Node().StateDir() })
	sessionDefine("units", kindObject, writeUnits)

	sessionText("download_dir", func(r *request) string { return r.Dir() })
	sessionInteger("download_dir_free_space", func(r *request) int64 {
		s, err := r.FreeSpace(r.patience, r.Dir())
		if err != nil {
			return -1
		}
		return s.Free
	})
	sessionText("incomplete_dir", func(r *request) string { return cmp.Or(r.settings().IncompleteDir, r.lastIncomplete(), r.Dir()) })
	sessionBoolean("incomplete_dir_enabled", func(r *request) bool { return r.settings().IncompleteDir != "" })
	sessionBoolean("rename_partial_files", always(true))
	sessionBoolean("start_added_torrents", func(r *request) bool { return !r.settings().AddPaused })
	sessionBoolean("trash_original_torrent_files", always(false))
	sessionBoolean("sequential_download", always(false))
	sessionText("default_trackers", always(""))
	sessionInteger("cache_size_mib", always[int64](0))

	sessionInteger("alt_speed_down", func(r *request) int64 { return inKilo(r.settings().AltDownRate) })
	sessionInteger("alt_speed_up", func(r *request) int64 { return inKilo(r.settings().AltUpRate) })
	sessionBoolean("alt_speed_enabled", func(r *request) bool { return r.settings().AltLimits })
	sessionBoolean("alt_speed_time_enabled", func(r *request) bool { return r.settings().AltSchedule.IsSet() })
	sessionInteger("alt_speed_time_begin", func(r *request) int64 { return int64(r.shownSchedule().From) })
	sessionInteger("alt_speed_time_end", func(r *request) int64 { return int64(r.shownSchedule().To) })
	sessionInteger("alt_speed_time_day", func(r *request) int64 { return int64(r.shownSchedule().Days) }) // from Sunday

	sessionInteger("peer_limit_global", func(r *request) int64 { return int64(r.settings().MaxConns) })
	sessionInteger("peer_limit_per_torrent", func(r *request) int64 { return int64(r.settings().MaxConns) })
	sessionInteger("peer_port", (*request).peerPort)
	sessionBoolean("peer_port_random_on_start", always(false))
	sessionBoolean("port_forwarding_enabled", func(r *request) bool { _, isOn := r.Node().PortMapping(); return isOn })
	sessionText("encryption", func(r *request) string {
		if r.w.d == legacy {
			return "tolerated"
		}
		return "allowed"
	})
	sessionInteger("reqq", always[int64](1024))
	sessionBoolean("dht_enabled", func(r *request) bool { _, err := r.Node().Items(); return err == nil })
	sessionBoolean("lpd_enabled", func(r *request) bool { return !r.settings().NoLSD })
	sessionBoolean("pex_enabled", always(true))
	sessionBoolean("tcp_enabled", always(true))
	sessionBoolean("utp_enabled", func(r *request) bool { return r.Node().UsesUTP() })
	sessionDefine("preferred_transports", kindArray, func(w *writer, r *request) {
		w.open('[')
		w.text("tcp")
		if r.Node().UsesUTP() {
			w.text("utp")
		}
		w.close(']')
	})
	sessionBoolean("blocklist_enabled", func(r *request) bool { return r.settings().Blocklist.Len() > 0 })
	sessionInteger("blocklist_size", func(r *request) int64 { return int64(r.settings().Blocklist.Len()) })
	sessionText("blocklist_url", always(""))
	sessionBoolean("anti_brute_force_enabled", always(true)) // by the guard, for each address
	sessionInteger("anti_brute_force_threshold", always[int64](10))
	// The commands of hooks are in the settings file, and no client may read or change them.
	for _, when := range []string{"added", "done", "done_seeding"} {
		sessionBoolean("script_torrent_"+when+"_enabled", always(false))
		sessionText("script_torrent_"+when+"_filename", always(""))
	}
}

// writeUnits writes the units in which clients show numbers.
func writeUnits(w *writer, _ *request) {
	w.open('{')
	for _, u := range []struct {
		name  string
		bytes int64
		units []string
	}{
		{"memory", 1024, []string{"B", "KiB", "MiB", "GiB", "TiB"}},
		{"size", 1000, []string{"B", "kB", "MB", "GB", "TB"}},
		{"speed", kilo, []string{"B/s", "kB/s", "MB/s", "GB/s", "TB/s"}},
	} {
		w.key(u.name + "_bytes")
		w.integer(u.bytes)
		w.key(u.name + "_units")
		w.open('[')
		for _, unit := range u.units {
			w.text(unit)
		}
		w.close(']')
	}
	w.close('}')
}

// sessionGet lists settings and facts: those in fields, or all.
func (r *request) sessionGet() error {
	asked, some := r.texts("fields")
	for i := range asked {
		asked[i] = currentName(asked[i])
	}
	for i := range sessionFields {
		if f := &sessionFields[i]; !some || slices.Contains(asked, f.name) {
			r.w.key(f.name)
			f.write(r.w, r)
		}
	}
	return nil
}

// sessionSet changes settings. It ignores parameters for which seedbed has no setting.
func (r *request) sessionSet() error {
	return r.within(func(ctx context.Context) error {
		return r.ChangeSettings(ctx, r.edit)
	})
}

// edit changes settings as the parameters say.
func (r *request) edit(s *daemon.Settings) error {
	for i := range toggles {
		if x := &toggles[i]; r.hasAny(x.value, x.enabled) {
			x.apply(s, r.params, &r.lasts)
		}
	}
	if v, ok := r.integer("alt_speed_down"); ok {
		s.AltDownRate = max(v, 0) * kilo
	}
	if v, ok := r.integer("alt_speed_up"); ok {
		s.AltUpRate = max(v, 0) * kilo
	}
	if on, ok := r.boolean("alt_speed_enabled"); ok {
		s.AltLimits = on
	}
	if r.hasAny("alt_speed_time_enabled", "alt_speed_time_begin", "alt_speed_time_end", "alt_speed_time_day") {
		r.editSchedule(s)
	}
	if v, ok := r.integer("peer_limit_global"); ok {
		s.MaxConns = int(max(v, 1))
	}
	if dir, ok := r.text("download_dir"); ok {
		s.Dir = dir
	}
	if on, ok := r.boolean("lpd_enabled"); ok {
		s.NoLSD = !on
	}
	if start, ok := r.boolean("start_added_torrents"); ok {
		s.AddPaused = !start
	}
	if r.hasAny("incomplete_dir", "incomplete_dir_enabled") {
		r.editIncomplete(s)
	}
	return r.editPort(s)
}

// editPort changes the port for peers, unless it is the one in use.
func (r *request) editPort(s *daemon.Settings) error {
	port, ok := r.integer("peer_port")
	if !ok || port == r.peerPort() {
		return nil
	}
	if port < 1 || port > math.MaxUint16 {
		return failf(invalidParams, "%d is not a port", port)
	}
	s.Port = int(port)
	return nil
}

// peerPort returns the port on which peers reach the node.
func (r *request) peerPort() int64 {
	for _, a := range r.Node().Addrs() {
		return int64(a.Port())
	}
	return 0
}

// editIncomplete changes the folder for incomplete data. Clients may switch it on without giving its
// name.
func (r *request) editIncomplete(s *daemon.Settings) {
	dir, given := r.text("incomplete_dir")
	isOn, said := r.boolean("incomplete_dir_enabled")
	if !said {
		isOn = s.IncompleteDir != ""
	}
	if !given {
		dir = cmp.Or(s.IncompleteDir, r.lastIncomplete(), s.Dir)
	}
	r.incomplete.Store(&dir)
	if s.IncompleteDir = dir; !isOn {
		s.IncompleteDir = ""
	}
}

// lastIncomplete returns the folder for incomplete data that a client named last, or "".
func (h *handler) lastIncomplete() string {
	if dir := h.incomplete.Load(); dir != nil {
		return *dir
	}
	return ""
}

// sessionStats counts torrents and traffic.
func (r *request) sessionStats() error {
	var active, paused, down, up int64
	all := r.Node().Torrents()
	for _, t := range all {
		switch t.Phase() {
		case lifecycle.Paused, lifecycle.Failed, lifecycle.Missing:
			paused++
		default:
			active++
		}
	}
	for _, t := range r.Node().Active() {
		s := t.Snapshot()
		down += int64(s.DownRate)
		up += int64(s.UpRate)
	}
	r.w.members(member{"active_torrent_count", active}, member{"download_speed", down}, member{"paused_torrent_count", paused},
		member{"torrent_count", int64(len(all))}, member{"upload_speed", up})
	ever := traffic(all)
	for _, stats := range []struct {
		name string
		from node.Totals // to subtract
	}{{name: "cumulative_stats"}, {name: "current_stats", from: r.before}} {
		r.w.key(stats.name)
		r.w.open('{')
		r.w.members(member{"downloaded_bytes", max(ever.Downloaded-stats.from.Downloaded, 0)}, member{"files_added", int64(len(all))},
			member{"seconds_active", int64(time.Since(r.started).Seconds())}, member{"session_count", 1},
			member{"uploaded_bytes", max(ever.Uploaded-stats.from.Uploaded, 0)})
		r.w.close('}')
	}
	return nil
}

// traffic returns the bytes that torrents have sent and received over all runs.
func traffic(torrents []*node.Torrent) (sum node.Totals) {
	for _, t := range torrents {
		y := t.Totals()
		sum.Uploaded += y.Uploaded
		sum.Downloaded += y.Downloaded
	}
	return sum
}

// sessionClose ends the daemon after the answer.
func (r *request) sessionClose() error {
	r.cfg.Close()
	return nil
}

// freeSpace measures the space in an allowed folder. Clients also ask for the download folder of a torrent, which may be the object
// store of the node: its space is not known, which is -1.
func (r *request) freeSpace() error {
	dir, _ := r.text("path")
	store := r.Node().StoreLocation()
	isStore := store != "" && strings.TrimSuffix(dir, "/") == store
	if !isStore && (dir == "" || dir[0] != '/') {
		return failf(pathNotAbsolute, "directory path is not absolute")
	}
	s, err := daemon.Space{Free: -1, Total: -1}, error(nil)
	if !isStore {
		if s, err = r.FreeSpace(r.patience, dir); err != nil {
			s = daemon.Space{Free: -1, Total: -1}
		}
	}
	r.w.key("path")
	r.w.text(dir)
	r.w.members(member{"size_bytes", s.Free}, member{totalSize, s.Total})
	return err
}

// portTest says whether others can connect to us. Nothing is tested for it: the node knows it from peers, or does not
// know it yet.
func (r *request) portTest() error {
	protocol, _ := r.text("ip_protocol")
	is, err := isPortOpen(r.Node().Reachabilities(), protocol)
	if err != nil {
		return err
	}
	r.w.key("port_is_open")
	r.w.boolean(is)
	return nil
}

// isPortOpen reports whether the port is open over one address family: ipv4, ipv6, or "" for any.
func isPortOpen(all []*node.Reachability, protocol string) (bool, error) {
	all = slices.DeleteFunc(all, func(r *node.Reachability) bool { return protocol != "" && protocol != strings.ToLower(r.Family()) })
	if len(all) == 0 {
		return false, failf(httpError, "Couldn't test port: nothing listens for connections")
	}
	is := func(v reachability.Verdict) bool {
		return slices.ContainsFunc(all, func(r *node.Reachability) bool { return r.Verdict == v })
	}
	if !is(reachability.Reachable) && !is(reachability.NotReachable) {
		return false, failf(httpError, "Couldn't test port: %s", all[0].Text())
	}
	return is(reachability.Reachable), nil
}

// blocklistUpdate fails, because the list is a file and not a URL.
func (r *request) blocklistUpdate() error {
	return failf(httpError, "Couldn't fetch blocklist: the list is the file of the setting blocklist, which the daemon reads again on SIGHUP")
}

// groupGet lists bandwidth groups, of which there are none.
func (r *request) groupGet() error {
	r.w.key("group")
	r.w.open('[')
	r.w.close(']')
	return nil
}

// groupSet fails.
func (r *request) groupSet() error { return failf(invalidParams, "there are no bandwidth groups") }
