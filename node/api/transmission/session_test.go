package transmission

import (
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"time"

	"seedbed/node"
	"seedbed/node/daemon"
	"seedbed/node/daemon/token"
	"seedbed/swarm/engine"
)

// session performs session-set and returns its result and what session-get answers then.
func (r *rig) session(set string) (result string, shown map[string]any) {
	r.t.Helper()
	var answer struct {
		Result    string
		Arguments map[string]any
	}
	for _, body := range []string{`{"method":"session-set","arguments":` + set + `}`, `{"method":"session-get"}`} {
		if err := json.Unmarshal(r.post(token.Admin, body).Body.Bytes(), &answer); err != nil {
			r.t.Fatal(err)
		}
		if result == "" {
			result = answer.Result
		}
	}
	return result, answer.Arguments
}

// A parameter that seedbed has a setting for sets it, and session-get shows it.
func TestSessionSetChangesTheSettings(t *testing.T) {
	r := newRig(t)
	in := func(name string) string { return filepath.Join(r.dir, "data", name) }
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).Port
	free.Close()
	for _, c := range []struct {
		set  string
		get  func(daemon.Settings) any
		want any
	}{
		{fmt.Sprintf(`{"download-dir":%q}`, in("films")), func(s daemon.Settings) any { return s.Dir }, in("films")},
		{fmt.Sprintf(`{"incomplete-dir":%q,"incomplete-dir-enabled":true}`, in("unfinished")), func(s daemon.Settings) any { return s.IncompleteDir }, in("unfinished")},
		{`{"incomplete-dir-enabled":false}`, func(s daemon.Settings) any { return s.IncompleteDir }, ""},
		{`{"start-added-torrents":false}`, func(s daemon.Settings) any { return s.AddPaused }, true},
		{`{"start-added-torrents":true}`, func(s daemon.Settings) any { return s.AddPaused }, false},
		{`{"lpd-enabled":false}`, func(s daemon.Settings) any { return s.NoLSD }, true},
		{`{"lpd-enabled":true}`, func(s daemon.Settings) any { return s.NoLSD }, false},
		{fmt.Sprintf(`{"peer-port":%d}`, port), func(s daemon.Settings) any { return s.Port }, port},
		{`{"peer-limit-global":77}`, func(s daemon.Settings) any { return s.MaxConns }, 77},
		{`{"speed-limit-down":10,"speed-limit-down-enabled":true}`, func(s daemon.Settings) any { return s.DownRate }, int64(10_000)},
		{`{"speed-limit-up":20,"speed-limit-up-enabled":true}`, func(s daemon.Settings) any { return s.UpRate }, int64(20_000)},
		{`{"speed-limit-up-enabled":false}`, func(s daemon.Settings) any { return s.UpRate }, int64(0)},
		{`{"alt-speed-down":30,"alt-speed-up":40}`, func(s daemon.Settings) any { return [2]int64{s.AltDownRate, s.AltUpRate} }, [2]int64{30_000, 40_000}},
		{`{"alt-speed-enabled":true}`, func(s daemon.Settings) any { return s.AltLimits }, true},
		{`{"alt-speed-enabled":false}`, func(s daemon.Settings) any { return s.AltLimits }, false},
		{`{"alt-speed-time-enabled":true,"alt-speed-time-begin":60,"alt-speed-time-end":120,"alt-speed-time-day":1}`, func(s daemon.Settings) any { return s.AltSchedule.String() }, "sun 01:00-02:00"},
		{`{"alt-speed-time-enabled":false}`, func(s daemon.Settings) any { return s.AltSchedule.String() }, ""},
		{`{"seedRatioLimit":1.5,"seedRatioLimited":true}`, func(s daemon.Settings) any { return s.SeedRatio }, 1.5},
		{`{"seedRatioLimited":false}`, func(s daemon.Settings) any { return s.SeedRatio }, 0.},
		{`{"idle-seeding-limit":7,"idle-seeding-limit-enabled":true}`, func(s daemon.Settings) any { return s.SeedIdle }, 7 * time.Minute},
		{`{"idle-seeding-limit-enabled":false}`, func(s daemon.Settings) any { return s.SeedIdle }, time.Duration(0)},
		{`{"download-queue-size":3,"download-queue-enabled":true}`, func(s daemon.Settings) any { return s.Queue.Downloads }, 3},
		{`{"download-queue-enabled":false}`, func(s daemon.Settings) any { return s.Queue.Downloads }, 0},
		{`{"seed-queue-size":4,"seed-queue-enabled":true}`, func(s daemon.Settings) any { return s.Queue.Seeds }, 4},
		{`{"queue-stalled-minutes":5,"queue-stalled-enabled":true}`, func(s daemon.Settings) any { return s.Queue.Stalled }, 5 * time.Minute},
	} {
		result, shown := r.session(c.set)
		if result != "success" {
			t.Errorf("%s: %s", c.set, result)
		}
		if got := c.get(r.d.Settings()); got != c.want {
			t.Errorf("%s: the setting is %v, not %v", c.set, got, c.want)
		}
		var want map[string]any
		if err := json.Unmarshal([]byte(c.set), &want); err != nil {
			t.Fatal(err)
		}
		for key, v := range want {
			if shown[key] != v {
				t.Errorf("%s: %s is shown as %v", c.set, key, shown[key])
			}
		}
	}
	if got := int(r.d.Node().Addrs()[0].Port()); got != port {
		t.Errorf("the node listens on port %d, not %d", got, port)
	}
	for _, bad := range []string{`{"peer-port":65536}`, `{"peer-port":0}`, `{"incomplete-dir":"/elsewhere","incomplete-dir-enabled":true}`} {
		if result, _ := r.session(bad); result == "success" {
			t.Errorf("%s succeeds", bad)
		}
	}
}

// Whether there is uTP is set at the start, and clients cannot change it.
func TestUTPIsAsTheNodeHasIt(t *testing.T) {
	for _, c := range []struct {
		on         bool
		transports string
	}{{false, "[tcp]"}, {true, "[tcp utp]"}} {
		r := newRig(t, func(cfg *node.Config) { cfg.UTP = c.on })
		result, shown := r.session(fmt.Sprintf(`{"utp-enabled":%v,"preferred_transports":["utp","tcp"]}`, !c.on))
		if result != "success" || shown["utp-enabled"] != c.on || shown["tcp-enabled"] != true || fmt.Sprint(shown["preferred_transports"]) != c.transports {
			t.Errorf("%s: %v %v %v", result, shown["utp-enabled"], shown["tcp-enabled"], shown["preferred_transports"])
		}
	}
	if flags := flagsOf(&node.PeerInfo{PeerInfo: engine.PeerInfo{UTP: true, Incoming: true, Choked: true, PeerChoked: true}}); flags != "TI" {
		t.Errorf("the flags of a peer over uTP are %q", flags)
	}
}
