//go:build linux

package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// transmission is controlled over its RPC. It takes 30 to 60 seconds to join a small DHT.
type transmission struct{ secrecy }

func (transmission) name() string { return "transmission" }

func (transmission) missing() string { return command("transmission-daemon") }

type transmissionDaemon struct {
	*process
	url, session string
}

func (c transmission) start(t scope, ip string, dht []string) daemon {
	t.Helper()
	return c.startWith(t, ip, dht, false)
}

// startWith starts transmission with or without uTP.
func (c transmission) startWith(t scope, ip string, dht []string, utp bool) daemon {
	t.Helper()
	conf := tempDir(t)
	v4, v6 := ip, "::1"
	if strings.Contains(ip, ":") {
		v4, v6 = "127.0.0.1", ip
	}
	must(t, os.WriteFile(filepath.Join(conf, "settings.json"), []byte(encode(map[string]any{
		"bind-address-ipv4": v4, "bind-address-ipv6": v6, "peer-port": 6881,
		"dht-enabled": len(dht) > 0, "lpd-enabled": false, "pex-enabled": true, "utp-enabled": utp,
		"port-forwarding-enabled": false, "encryption": int(c.secrecy), "blocklist-enabled": false,
		"rpc-bind-address": ip, "rpc-port": 9091, "rpc-whitelist-enabled": false,
		"rpc-host-whitelist-enabled": false, "rpc-authentication-required": false,
		"download-queue-enabled": false, "seed-queue-enabled": false, "ratio-limit-enabled": false,
		"idle-seeding-limit-enabled": false, "start-added-torrents": true, "rename-partial-files": true,
		"message-level": 3, "preallocation": 0, "umask": 18,
	})), 0o644))
	// Until it has about ten good nodes, it reports its DHT as broken and sends no queries.
	// It pings the nodes of this file one after the other.
	must(t, os.WriteFile(filepath.Join(conf, "dht.bootstrap"), []byte(strings.ReplaceAll(strings.Join(dht, "\n"), ":", " ")+"\n"), 0o644))
	d := &transmissionDaemon{
		process: start(t, "transmission", nil, "transmission-daemon", "-f", "-g", conf),
		url:     "http://" + net.JoinHostPort(ip, "9091") + "/transmission/rpc",
	}
	if len(dht) > 0 {
		go (&transmissionDaemon{process: d.process, url: d.url}).retryLookups()
	}
	return d
}

// retryLookups restarts torrents that have no peers. Transmission looks up and announces
// a torrent once when it starts, and again after 25 minutes; the one lookup fails if its
// answers are late because the machine is busy.
func (d *transmissionDaemon) retryLookups() {
	for {
		select {
		case <-d.ended:
			return
		case <-time.After(rejoinAfter):
		}
		var r struct {
			Torrents []struct{ ID, PeersConnected int }
		}
		fields := map[string]any{"fields": []string{"id", "peersConnected"}}
		if d.call(context.Background(), "torrent-get", fields, &r) != nil {
			continue // it is starting or ending
		}
		for _, o := range r.Torrents {
			if o.PeersConnected == 0 {
				ids := map[string]any{"ids": []int{o.ID}}
				_ = d.call(context.Background(), "torrent-stop", ids, nil)
				_ = d.call(context.Background(), "torrent-start", ids, nil)
			}
		}
	}
}

func (d *transmissionDaemon) call(ctx context.Context, method string, args, result any) error {
	body := encode(map[string]any{"method": method, "arguments": args})
	for range 2 {
		q, _ := http.NewRequestWithContext(ctx, "POST", d.url, strings.NewReader(body))
		q.Header.Set("X-Transmission-Session-Id", d.session)
		r, err := http.DefaultClient.Do(q)
		if err != nil {
			return err
		}
		b, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil {
			return err
		}
		if r.StatusCode == http.StatusConflict {
			d.session = r.Header.Get("X-Transmission-Session-Id")
			continue
		}
		var answer struct {
			Result    string
			Arguments json.RawMessage
		}
		if err := json.Unmarshal(b, &answer); err != nil {
			return fmt.Errorf("%s: %w: %s", r.Status, err, b)
		}
		if answer.Result != "success" {
			return errors.New(answer.Result)
		}
		if result == nil {
			return nil
		}
		return json.Unmarshal(answer.Arguments, result)
	}
	return errors.New("no session id")
}

func (d *transmissionDaemon) add(ctx context.Context, torrent, dir string) {
	d.t.Helper()
	d.request(ctx, "torrent-add", map[string]any{"filename": torrent, "download-dir": dir})
}

// request makes a call as soon as the RPC server accepts it.
func (d *transmissionDaemon) request(ctx context.Context, method string, args any) {
	d.t.Helper()
	var last error
	d.poll(ctx, "transmission's RPC", func() bool {
		last = d.call(ctx, method, args, nil)
		var refused *net.OpError
		return last == nil || !errors.As(last, &refused)
	})
	if last != nil {
		d.t.Fatalf("%s: %v", method, last)
	}
}

func (d *transmissionDaemon) seed(ctx context.Context, p *payload) {
	d.t.Helper()
	d.add(ctx, p.torrent, p.parent)
	d.done(ctx)
}

func (d *transmissionDaemon) leech(ctx context.Context, torrent, dir string) {
	d.t.Helper()
	d.add(ctx, torrent, dir)
}

func (d *transmissionDaemon) done(ctx context.Context) {
	d.t.Helper()
	d.poll(ctx, "transmission to have all", func() bool { return d.complete(ctx) })
}

// complete reports whether the torrent is downloaded and verified.
func (d *transmissionDaemon) complete(ctx context.Context) bool {
	d.t.Helper()
	var r struct {
		Torrents []struct {
			MetadataPercentComplete float64
			HaveValid, SizeWhenDone int64
			Status, Error           int
			ErrorString             string
		}
	}
	fields := []string{"metadataPercentComplete", "haveValid", "sizeWhenDone", "status", "error", "errorString"}
	if err := d.call(ctx, "torrent-get", map[string]any{"fields": fields}, &r); err != nil || len(r.Torrents) != 1 {
		return false
	}
	s := r.Torrents[0]
	if s.Error == 3 {
		d.t.Fatalf("%v", s.ErrorString)
	}
	return s.MetadataPercentComplete == 1 && s.SizeWhenDone > 0 && s.HaveValid == s.SizeWhenDone && s.Status >= 5
}

// limit sets the upload limit in bytes a second; transmission has units of 1000 bytes.
func (d *transmissionDaemon) limit(ctx context.Context, up int) {
	d.t.Helper()
	d.request(ctx, "session-set", map[string]any{"speed-limit-up": up / 1000, "speed-limit-up-enabled": true})
}
