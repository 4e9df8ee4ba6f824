package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/report"
	"seedbed/internal/dnstest"
	"seedbed/internal/id"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/node/api/client"
	"seedbed/node/view"
)

// printed is the output of commands with --json. Each object is validated against
// docs/events.schema.json.
type printed struct {
	t       *testing.T
	schemas map[string]*jsonschema.Resolved
	seen    map[string]int
	common  []string // arguments of commands that use a network
}

func newPrinted(t *testing.T) *printed {
	t.Helper()
	b, err := os.ReadFile("../../docs/events.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var root jsonschema.Schema
	if err := json.Unmarshal(b, &root); err != nil {
		t.Fatal(err)
	}
	o := &printed{t: t, schemas: map[string]*jsonschema.Resolved{}, seen: map[string]int{}}
	for event, s := range root.Defs {
		if o.schemas[event], err = s.Resolve(nil); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

// check validates one line.
func (o *printed) check(line []byte) map[string]any {
	o.t.Helper()
	var v map[string]any
	if err := json.Unmarshal(line, &v); err != nil {
		o.t.Fatalf("%v: %s", err, line)
	}
	event, _ := v["event"].(string)
	o.seen[event]++
	s := o.schemas[event]
	if s == nil {
		o.t.Errorf("the schema has no event %q: %s", event, line)
		return v
	}
	if err := s.Validate(v); err != nil {
		o.t.Errorf("%v: %s", err, line)
	}
	at, _ := v["time"].(string)
	if _, err := time.Parse(time.RFC3339Nano, at); err != nil {
		o.t.Error(err)
	}
	return v
}

// run runs a command and returns the objects that it prints, by event. It interrupts the
// command after the first until event, if until is not "".
func (o *printed) run(until string, want exit.Code, args ...string) map[string]map[string]any {
	o.t.Helper()
	r, stdout, err := os.Pipe()
	if err != nil {
		o.t.Fatal(err)
	}
	defer r.Close()
	stderr, err := os.Create(filepath.Join(o.t.TempDir(), "stderr"))
	if err != nil {
		o.t.Fatal(err)
	}
	defer stderr.Close()
	ctx, interrupt := context.WithTimeout(o.t.Context(), patience)
	defer interrupt()
	code := make(chan exit.Code, 1)
	go func() {
		code <- run(ctx, append(args, "--json"), stdout, stderr)
		stdout.Close()
	}()
	got := map[string]map[string]any{}
	for lines := bufio.NewReader(r); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			break
		}
		v := o.check(line)
		event, _ := v["event"].(string)
		got[event] = v
		if event == until {
			interrupt()
		}
	}
	if c := <-code; c != want {
		said, _ := os.ReadFile(stderr.Name())
		o.t.Errorf("%v: exit code %d, want %d; %s", args, c, want, said)
	}
	if until != "" && got[until] == nil {
		o.t.Errorf("%v printed no %s, but %v", args, until, got)
	}
	return got
}

// online is like run, for a command that uses the network. args override o.common.
func (o *printed) online(until string, want exit.Code, args ...string) map[string]map[string]any {
	o.t.Helper()
	return o.run(until, want, slices.Concat(args[:1], o.common, args[1:])...)
}

// publish publishes path under the key site until the test ends, and returns the address of
// the publisher.
func (o *printed) publish(path string) string {
	o.t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		o.t.Fatal(err)
	}
	at := free.Addr().String()
	free.Close()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		o.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		run(ctx, slices.Concat([]string{"publish"}, o.common, []string{path, "--key", "site", "--listen", at}), null, null)
	}()
	o.t.Cleanup(func() {
		stop()
		<-done
		null.Close()
	})
	return at
}

// ring starts nodes of a private DHT and returns the address of the first.
func ring(t *testing.T, size int) (nodes []*node.Node, boot string) {
	t.Helper()
	for i := range size {
		c := node.Config{State: filepath.Join(t.TempDir(), strconv.Itoa(i)), Listen: "127.0.0.1:0", Bootstrap: []string{}}
		if boot != "" {
			c.Bootstrap = []string{boot}
		}
		n, err := node.Open(c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = n.Close(context.Background()) })
		nodes = append(nodes, n)
		boot = nodes[0].Addrs()[0].String()
	}
	return nodes, boot
}

// The output of every command with --json matches the schema, and sizes are consistent.
func TestOutputIsAsTheSchemaSays(t *testing.T) {
	o := newPrinted(t)
	nodes, boot := ring(t, 4)
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	o.common = []string{"--listen", "127.0.0.1:0", "--bootstrap", boot, "--state", in("state")}
	state := []string{"--state", in("state")}

	// A hybrid with padding: its pieces hold more than its files.
	for i := range 5 {
		writeFile(t, in("site/"+strconv.Itoa(i)), bytes.Repeat([]byte{byte(i)}, 1000))
	}
	const size = float64(5000)
	sizes := map[string]any{}
	sizes["create"] = o.run("", exit.OK, "create", in("site"), "-o", in("site.torrent"), "--hybrid")["create"]["size"]
	sizes["show"] = o.run("", exit.OK, "show", in("site.torrent"))["show"]["size"]
	sizes["check"] = o.run("", exit.OK, append(state, "check", in("site.torrent"), "-d", dir)...)["check"]["size"]
	writeFile(t, in("broken/site/1"), []byte("too short"))
	o.run("", exit.Hash, append(state, "check", in("site.torrent"), "-d", in("broken"))...)

	spec, err := node.Share(t.Context(), in("site"), node.ShareOptions{})
	if err != nil {
		t.Fatal(err)
	}
	shared, err := nodes[1].Add(spec)
	if err != nil {
		t.Fatal(err)
	}
	<-shared.Announced()
	link := shared.Link() + "&x.pe=" + nodes[1].Addrs()[0].String()
	o.run("", exit.OK, "show", link)

	got := o.online("", exit.OK, "get", link+"&x.pe=nonsense", "-d", in("got"))
	sizes["metadata"], sizes["progress"] = got["metadata"]["size"], got["progress"]["size"]
	if got := o.online("", exit.OK, "get", link, "-d", in("alone"), "--metadata-only", "--state", in("alone"))["metadata"]; got["torrent"] != in("alone/site.torrent") {
		t.Errorf("metadata names %v, not the file that was written", got["torrent"])
	}
	writeFile(t, in("blocked/site/1"), []byte("not ours"))
	o.online("", exit.Exists, "get", link, "-d", in("blocked"), "--state", in("blocked-state"))
	seeding := o.online("progress", exit.OK, "seed", in("site.torrent"), "-d", dir)
	sizes["progress of seed"] = seeding["progress"]["size"]
	o.online("", exit.OK, "seed", in("site.torrent"), "-d", dir, "--seed-time", "1ms")
	o.online("streaming", exit.OK, "stream", link, "-d", in("film"), "--http", "127.0.0.1:0")
	for where, n := range sizes {
		if n != size {
			t.Errorf("the size is %v in %s, want %v", n, where, size)
		}
	}

	o.run("", exit.OK, append(state, "key", "new", "site")...)
	o.run("", exit.OK, append(state, "key", "list")...)
	o.run("", exit.OK, append(state, "key", "new", "master")...)
	o.run("", exit.OK, append(state, "key", "delegate", "master", "--to", strings.Repeat("8543d3e6", 8), "--first", "--no-dht", "-o", in("delegation"))...)
	o.run("", exit.OK, "key", "show-delegation", in("delegation"))
	o.run("", exit.OK, append(state, "publish", "--dns-record", "example.org", "--key", "site", "--resolver", dnstest.Start(t).Addr)...)
	published := o.online("published", exit.OK, "publish", in("site"), "--key", "site")
	versions, _ := o.run("", exit.OK, append(state, "publish", "--history", "site")...)["history"]["versions"].([]any)
	if first, _ := versions[0].(map[string]any); first["infohash"] == "" || first["infohash_v2"] == nil {
		t.Errorf("a publication is not a hybrid by default: %v", first)
	}
	publication, _ := published["published"]["link"].(string)
	at := o.publish(in("site"))
	o.online("current", exit.OK, "follow", publication, "-d", in("followed"), "--state", in("follower"), "--peer", at)
	o.run("", exit.OK, "follow", "--history", in("followed"), "--state", in("follower"))
	o.online("", exit.OK, "publish", "--rollback", "1", "--key", "site")

	visit := []string{"--listen", "127.0.0.1:0", "--bootstrap", boot, "--state", in("visits")}
	for _, args := range [][]string{
		{"dht", "find-node", strings.Repeat("0", 40)}, {"dht", "get-peers", shared.InfoHash().String(), "--scrape"},
		{"dht", "announce", shared.InfoHash().String()}, {"dht", "put", "one", "--key", in("key"), "--new-key"}, {"dht", "nodes"}, {"dht", "sample"},
		{"show", publication}, {"show", publication, "--diff", "1..1"},
	} {
		o.run("", exit.OK, slices.Concat(args, visit)...)
	}
	put := o.run("", exit.OK, slices.Concat([]string{"dht", "put", "two"}, visit)...)["put"]
	target, _ := put["target"].(string)
	o.run("", exit.OK, slices.Concat([]string{"dht", "get", target}, visit)...)
	o.run("", exit.OK, "dht", "ping", boot, "--listen", "127.0.0.1:0", "--state", in("visits"))
	o.run("", exit.OK, slices.Concat([]string{"doctor", link}, visit)...)

	o.run("", exit.OK, "version")
	o.run("", exit.OK, append(state, "settings")...)
	o.run("", exit.OK, "demo")
	o.run("metrics", exit.OK, "bootstrap", "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--state", in("ring"))

	o.daemon(in("site.torrent"), dir, in("service"))

	// Each of these has a separate test, or needs a state that is hard to produce here.
	rare := []string{"announcing", "catalogue", "follow", "imported", "imported_category", "job", "mapped", "missed", "network_changed", "pin", "pin_list", "reachability", "recovered", "removed", "status"}
	for _, e := range view.Table {
		if o.seen[e.Event] == 0 && !slices.Contains(rare, e.Event) {
			t.Errorf("no command printed %s; seen are %v", e.Event, slices.Sorted(maps.Keys(o.seen)))
		}
	}
}

// daemon runs a daemon with one torrent, and the commands that print something of their own.
func (o *printed) daemon(torrent, data, state string) {
	o.t.Helper()
	ctx, stop := context.WithCancel(o.t.Context())
	ended := make(chan struct{})
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		o.t.Fatal(err)
	}
	defer null.Close()
	service := []string{"daemon", "--no-dht", "--listen", "127.0.0.1:0", "-d", data, "--state", state, "--http", "127.0.0.1:0", "--fleet-listen", "127.0.0.1:0"}
	o.run("serving", exit.OK, service...)
	go func() {
		defer close(ended)
		run(ctx, service, null, null)
	}()
	defer func() {
		stop()
		<-ended
	}()
	if err := client.OverSocket(client.SocketPath(state)).Ready(ctx); err != nil {
		o.t.Fatal(err)
	}
	at := []string{"--state", state}
	o.run("", exit.OK, append(at, "add", torrent)...)
	o.run("", exit.OK, append(at, "files", "1")...)
	o.run("", exit.OK, append(at, "peers", "1")...)
	o.run("", exit.OK, append(at, "token", "new", "read")...)
	o.run("", exit.OK, append(at, "open", "--no-browser")...)
	o.run("", exit.OK, append(at, "fleet", "status")...)
	o.run("", exit.OK, append(at, "fleet", "status", strings.Repeat("0", 40))...)
}

func writeFile(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// Objects that are rarely printed match the schema, too.
func TestEveryEventIsAsTheSchemaSays(t *testing.T) {
	o := newPrinted(t)
	for _, k := range node.EventKinds() {
		var b bytes.Buffer
		report.NewJSON(&b).Event(report.EventOf(&node.Event{Kind: k, Time: time.Now(), InfoHash: id.ID{1}, Err: errors.New("x"),
			Info: &metainfo.Info{}, Publication: &node.PublicationEvent{}, Reachability: &node.Reachability{}}))
		if k != node.Changed { // it has no object
			o.check(b.Bytes())
		}
	}
	for _, v := range []view.Object{&view.Announcing{}, &view.RolledBack{}, &view.Status{}, &view.Followed{}, &view.Imported{}, &view.Job{}, &view.Pin{}, &view.PinList{}, &view.Catalogue{}} {
		var b bytes.Buffer
		if err := view.NewWriter(&b).Write(v, time.Now()); err != nil {
			t.Fatal(err)
		}
		o.check(b.Bytes())
	}
}
