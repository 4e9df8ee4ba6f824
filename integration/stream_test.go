//go:build linux

package integration

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// output runs a command to its end.
func output(ctx context.Context, t *testing.T, argv ...string) string {
	t.Helper()
	var out, bad bytes.Buffer
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &bad
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, bad.String())
	}
	return out.String()
}

// seconds of film, and how many bytes a second of it has about.
const (
	filmSeconds = 60
	filmRate    = 250 << 10
)

// shoot makes a folder with a film whose index is at its end, as cameras make
// them, and something to read.
func shoot(ctx context.Context, t *testing.T) (dir string, film []byte) {
	dir = filepath.Join(t.TempDir(), "holiday")
	must(t, os.MkdirAll(dir, 0o755))
	path := filepath.Join(dir, "by the sea.mp4")
	output(ctx, t, "ffmpeg", "-loglevel", "error", "-f", "lavfi", "-i", fmt.Sprintf("testsrc2=size=640x360:rate=25:duration=%d", filmSeconds),
		"-c:v", "mpeg4", "-b:v", fmt.Sprint(8*filmRate), "-minrate", fmt.Sprint(8*filmRate), "-maxrate", fmt.Sprint(8*filmRate),
		"-bufsize", "2M", "-flags", "+bitexact", path)
	must(t, os.WriteFile(filepath.Join(dir, "index.html"), []byte("<script>alert(1)</script>"), 0o644))
	film, err := os.ReadFile(path)
	must(t, err)
	return dir, film
}

// Players and curl get what they ask for of a torrent that is not there yet: from
// a magnet link alone, by ranges, from the end of the file first. What they do not
// ask for does not come.
func TestStream(t *testing.T) {
	needCommands(t, "ffmpeg", "ffprobe", "curl")
	t.Parallel()
	ctx := patience(t)
	dir, film := shoot(ctx, t)
	const seeder = "10.2.150.1"
	link := run(t, seeder, offline("seed", dir, "--piece-length", "64K", "--up-limit", "4M")...).wait(ctx, "seeding").Magnet

	o := run(t, "10.3.150.1", offline("stream", link, "-d", t.TempDir(), "--peer", endpoint(seeder), "--http", "127.0.0.1:0", "--readahead", "512K")...)
	url := o.wait(ctx, "streaming", func(e event) bool { return e.Path == "by the sea.mp4" }).URL

	head := output(ctx, t, "curl", "-sSfI", url)
	for _, want := range []string{"200 OK", "Accept-Ranges: bytes", fmt.Sprintf("Content-Length: %d\r", len(film)), "Content-Type: video/mp4"} {
		if !strings.Contains(head, want) {
			t.Errorf("HEAD lacks %q:\n%s", want, head)
		}
	}
	for _, r := range [][2]int{{0, 999}, {len(film) - 500, len(film) - 1}, {len(film) / 3, len(film)/3 + 200_000}} {
		got := output(ctx, t, "curl", "-sSf", "-r", fmt.Sprintf("%d-%d", r[0], r[1]), url)
		if got != string(film[r[0]:r[1]+1]) {
			t.Errorf("bytes %v are wrong", r)
		}
	}
	if got := output(ctx, t, "curl", "-sSf", "-r", "-77", url); got != string(film[len(film)-77:]) {
		t.Error("the last bytes are wrong")
	}
	if code := output(ctx, t, "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Host: rebound.example", url); code != "421" {
		t.Errorf("a page that pretends to be us gets %s", code)
	}

	probed := output(ctx, t, "ffprobe", "-loglevel", "error", "-show_entries", "format=duration:stream=codec_name", "-of", "csv", url)
	if !strings.Contains(probed, fmt.Sprintf("%d.0", filmSeconds)) || !strings.Contains(probed, "mpeg4") {
		t.Errorf("ffprobe says %q", probed)
	}
	frame := output(ctx, t, "ffmpeg", "-loglevel", "error", "-ss", "50", "-i", url, "-frames:v", "1", "-f", "framemd5", "-")
	if want := output(ctx, t, "ffmpeg", "-loglevel", "error", "-ss", "50", "-i", filepath.Join(dir, "by the sea.mp4"), "-frames:v", "1", "-f", "framemd5", "-"); frame != want {
		t.Errorf("the frame after a seek is\n%swant\n%s", frame, want)
	}

	// Nobody reads any more: what comes now is at most what was ahead.
	time.Sleep(2 * time.Second)
	if have := o.last("progress").Have; have > int64(len(film))/2 {
		t.Errorf("%d of %d bytes came for a few looks", have, len(film))
	}
	must(t, o.cmd.Process.Signal(interrupt))
	o.ends(ctx, 0)

	// With --open it ends when the player does, and all that was played is there.
	saved := filepath.Join(t.TempDir(), "saved")
	o = run(t, "10.3.150.1", offline("stream", link, "-d", t.TempDir(), "--peer", endpoint(seeder), "--http", "127.0.0.1:0", "--open", "curl -sSf -o "+saved)...)
	o.ends(ctx, 0)
	if got, err := os.ReadFile(saved); err != nil || !bytes.Equal(got, film) {
		t.Errorf("the player got %d bytes, %v", len(got), err)
	}
}
