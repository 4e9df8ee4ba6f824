//go:build linux

package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"seedbed/node/view"
)

// importJob is a session that another client makes: a complete torrent with a label, a renamed file
// and a file that is not wanted, a paused torrent, and a torrent of which it has half of the data.
type importJob struct {
	base, data          string
	whole, paused, half *payload
	categories          map[string]string // the folders of those that were imported
}

func newImportJob(t *testing.T, suffix string) *importJob {
	t.Helper()
	j := &importJob{base: shortDir(t), whole: tree(t, "whole", 40*piece), paused: single(t, "paused", 3*piece), half: single(t, "half", 40*piece)}
	j.data = filepath.Join(j.base, "data")
	j.whole.write(t, j.data)
	j.paused.write(t, j.data)
	j.half.write(t, j.data)
	path := filepath.Join(j.data, "half")
	must(t, os.Truncate(path, 20*piece))
	must(t, os.Rename(path, path+suffix))
	return j
}

// check imports the session and runs it: only a sample is hashed, and the incomplete torrent is
// completed from a peer.
// priorities are those of the first two files of the complete torrent.
func (j *importJob) check(t *testing.T, client, dir string, priorities ...string) view.Torrent {
	t.Helper()
	ctx := timeLimit(t)
	state := filepath.Join(j.base, "s")
	b, err := exec.CommandContext(ctx, seedbed, "import", client, dir, "--state", state, "--json").Output()
	must(t, err)
	n := 0
	j.categories = map[string]string{}
	for line := range bytes.Lines(b) {
		var o view.Imported
		must(t, json.Unmarshal(line, &o))
		if o.Event == "imported_category" {
			j.categories[o.Name] = o.Dir
			continue
		}
		t.Logf("%s: %d of %d bytes, %d hashed %s", o.Name, o.Have, o.Wanted, o.Sample, o.Check)
		want := map[string]int64{j.whole.infohash: j.whole.size - 77, j.paused.infohash: j.paused.size, j.half.infohash: 20 * piece}[o.InfoHash]
		if o.Check != "" || o.Have != want || o.Sample == 0 || o.Sample > 10*piece {
			t.Errorf("%s: %+v, want %d bytes", o.Name, o, want)
		}
		n++
	}
	if n != 3 {
		t.Errorf("%d torrents were imported", n)
	}
	s := serve(t, ctx, "10.4.193.2", state, j.data)
	whole, err := s.rest.Torrent(ctx, j.whole.infohash)
	must(t, err)
	if whole.State != "seeding" || len(whole.Labels) != 1 || whole.Labels[0] != "film" {
		t.Errorf("the complete torrent is %s and has the labels %v", whole.State, whole.Labels)
	}
	files, err := s.rest.Files(ctx, j.whole.infohash)
	must(t, err)
	if got := []string{files[0].Priority, files[1].Priority, files[2].Priority}; !slices.Equal(got, append(priorities, "normal")) {
		t.Errorf("the priorities of the files are %v", got)
	}
	paused, err := s.rest.Torrent(ctx, j.paused.infohash)
	must(t, err)
	if paused.State != "paused" || paused.Have != j.paused.size {
		t.Errorf("the paused torrent is %s with %d bytes", paused.State, paused.Have)
	}
	fetch := run(t, "10.4.193.4", offline("get", j.whole.magnet(), "-d", t.TempDir(), "--peer", endpoint("10.4.193.2"), "--select", "1")...)
	fetch.wait(ctx, "complete")
	dial := run(t, "10.4.193.5", offline("seed", j.half.torrent, "-d", j.half.parent, "--peer", endpoint("10.4.193.2"))...)
	dial.wait(ctx, "ready")
	s.poll(ctx, "the half torrent to be complete", func() bool {
		o, err := s.rest.Torrent(ctx, j.half.infohash)
		return err == nil && o.Complete
	})
	half, err := s.rest.Torrent(ctx, j.half.infohash)
	must(t, err)
	if half.Downloaded > j.half.size-20*piece {
		t.Errorf("%d bytes were downloaded for the missing half of %d", half.Downloaded, j.half.size)
	}
	j.half.same(t, j.data, false)
	if _, err := os.Stat(filepath.Join(j.data, "whole", "folder", "renamed.bin")); err != nil {
		t.Error(err)
	}
	return *whole
}

func TestImportFromTransmission(t *testing.T) {
	need(t, transmission{})
	j := newImportJob(t, ".part")
	ctx := timeLimit(t)
	d := transmission{}.start(t, "10.4.193.1", nil).(*transmissionDaemon)
	for _, p := range []*payload{j.whole, j.paused, j.half} {
		d.add(ctx, p.torrent, j.data)
	}
	d.poll(ctx, "transmission to check the data", func() bool {
		var r struct {
			Torrents []struct{ HaveValid, Status int64 }
		}
		if err := d.call(ctx, "torrent-get", map[string]any{"fields": []string{"haveValid", "status"}}, &r); err != nil {
			return false
		}
		var sum int64
		for _, x := range r.Torrents {
			if sum += x.HaveValid; x.Status != 4 && x.Status != 6 { // it downloads or seeds
				return false
			}
		}
		return sum == j.whole.size+j.paused.size+20*piece
	})
	d.request(ctx, "torrent-set", map[string]any{"ids": j.whole.infohash, "labels": []string{"film"}, "files-unwanted": []int{4}, "priority-high": []int{0}, "priority-low": []int{1}})
	d.request(ctx, "torrent-rename-path", map[string]any{"ids": j.whole.infohash, "path": "whole/folder/deep", "name": "deeper"})
	d.request(ctx, "torrent-rename-path", map[string]any{"ids": j.whole.infohash, "path": "whole/folder/one byte", "name": "renamed.bin"})
	d.request(ctx, "torrent-stop", map[string]any{"ids": j.paused.infohash})
	d.poll(ctx, "transmission to pause a torrent", func() bool {
		var r struct {
			Torrents []struct{ Status int64 }
		}
		err := d.call(ctx, "torrent-get", map[string]any{"ids": j.paused.infohash, "fields": []string{"status"}}, &r)
		return err == nil && len(r.Torrents) == 1 && r.Torrents[0].Status == 0
	})
	d.stop()
	j.check(t, "transmission", d.cmd.Args[len(d.cmd.Args)-1], "high", "low")
}

func TestImportFromQBittorrent(t *testing.T) {
	needCommands(t, "qbittorrent-nox")
	j := newImportJob(t, "")
	ctx := timeLimit(t)
	must(t, os.Truncate(filepath.Join(j.data, "half"), j.half.size))
	w := &webAPIJob{base: j.base, From: j.data}
	p := serveQBittorrent(ctx, t, w)
	post := func(path string, form url.Values) {
		t.Helper()
		r, err := http.PostForm(w.URL+"/api/v2/"+path, form)
		must(t, err)
		b, err := io.ReadAll(r.Body)
		r.Body.Close()
		if must(t, err); r.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s: %s", path, r.Status, b)
		}
	}
	for _, x := range []*payload{j.whole, j.paused, j.half} {
		var body bytes.Buffer
		m := multipart.NewWriter(&body)
		f, err := m.CreateFormFile("torrents", "x.torrent")
		must(t, err)
		b, err := os.ReadFile(x.torrent)
		must(t, err)
		_, err = f.Write(b)
		must(t, err)
		must(t, m.WriteField("savepath", j.data))
		must(t, m.Close())
		r, err := http.Post(w.URL+"/api/v2/torrents/add", m.FormDataContentType(), &body)
		must(t, err)
		r.Body.Close()
	}
	p.poll(ctx, "qbittorrent to check the data", func() bool {
		return qbittorrentBytes(ctx, w.URL) >= j.whole.size+j.paused.size+20*piece
	})
	post("torrents/createCategory", url.Values{"category": {"films"}, "savePath": {filepath.Join(j.data, "films")}})
	post("torrents/createCategory", url.Values{"category": {"films/short"}})
	post("torrents/setCategory", url.Values{"hashes": {j.paused.infohash}, "category": {"films"}})
	post("torrents/addTags", url.Values{"hashes": {j.whole.infohash}, "tags": {"film"}})
	post("torrents/filePrio", url.Values{"hash": {j.whole.infohash}, "id": {"4"}, "priority": {"0"}})
	post("torrents/filePrio", url.Values{"hash": {j.whole.infohash}, "id": {"0"}, "priority": {"7"}})
	post("torrents/filePrio", url.Values{"hash": {j.whole.infohash}, "id": {"1"}, "priority": {"6"}})
	post("torrents/toggleSequentialDownload", url.Values{"hashes": {j.whole.infohash}})
	post("torrents/toggleFirstLastPiecePrio", url.Values{"hashes": {j.whole.infohash}})
	post("torrents/renameFile", url.Values{"hash": {j.whole.infohash}, "oldPath": {"whole/folder/one byte"}, "newPath": {"whole/folder/renamed.bin"}})
	post("torrents/pause", url.Values{"hashes": {j.paused.infohash}})
	p.poll(ctx, "qbittorrent to rename the file", func() bool {
		_, err := os.Stat(filepath.Join(j.data, "whole", "folder", "renamed.bin"))
		return err == nil
	})
	p.poll(ctx, "qbittorrent to pause a torrent", func() bool {
		return slices.ContainsFunc(qbittorrentTorrents(ctx, w.URL), func(x qbittorrentTorrent) bool {
			return x.Hash == j.paused.infohash && x.State == "pausedUP"
		})
	})
	p.stop()
	if whole := j.check(t, "qbittorrent", filepath.Join(j.base, "profile"), "maximum", "high"); !whole.Sequential || !whole.FirstLast {
		t.Errorf("the order of pieces is lost: sequential %v, first and last %v", whole.Sequential, whole.FirstLast)
	}
	if want := map[string]string{"films": filepath.Join(j.data, "films"), "films/short": ""}; !maps.Equal(j.categories, want) {
		t.Errorf("the categories %v were imported, want %v", j.categories, want)
	}
}

type qbittorrentTorrent struct {
	Hash     string
	Size     float64
	Progress float64
	State    string
}

// qbittorrentTorrents returns the torrents of qBittorrent, or none if it does not answer.
func qbittorrentTorrents(ctx context.Context, at string) (all []qbittorrentTorrent) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, at+"/api/v2/torrents/info", nil)
	if err != nil {
		return nil
	}
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		return nil
	}
	defer r.Body.Close()
	if json.NewDecoder(r.Body).Decode(&all) != nil {
		return nil
	}
	return all
}

// qbittorrentBytes returns how many bytes of its torrents qBittorrent has.
func qbittorrentBytes(ctx context.Context, at string) (sum int64) {
	for _, x := range qbittorrentTorrents(ctx, at) {
		if x.State == "checkingUP" || x.State == "checkingDL" || x.State == "checkingResumeData" {
			return 0
		}
		sum += int64(x.Size*x.Progress + 0.5)
	}
	return sum
}
