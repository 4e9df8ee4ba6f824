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

// output runs a command and returns its output.
func output(ctx context.Context, t testing.TB, argv ...string) string {
	t.Helper()
	var out, bad bytes.Buffer
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &bad
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, bad.String())
	}
	return out.String()
}

// The length of the film in seconds, and about how many bytes a second it has.
const (
	filmSeconds = 60
	filmRate    = 250 << 10
)

// makeFilm creates a folder with a film whose index is at the end of the file, as cameras
// write it, and an HTML file.
func makeFilm(ctx context.Context, t *testing.T) (dir string, film []byte) {
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

// Players and curl get the ranges that they request, the end of the file first, of a torrent
// of which only the magnet link is known. Nothing else is downloaded.
func TestStream(t *testing.T) {
	needCommands(t, "ffmpeg", "ffprobe", "curl")
	t.Parallel()
	ctx := timeLimit(t)
	dir, film := makeFilm(ctx, t)
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
		t.Errorf("a request with another Host header gets %s", code)
	}

	probed := output(ctx, t, "ffprobe", "-loglevel", "error", "-show_entries", "format=duration:stream=codec_name", "-of", "csv", url)
	if !strings.Contains(probed, fmt.Sprintf("%d.0", filmSeconds)) || !strings.Contains(probed, "mpeg4") {
		t.Errorf("ffprobe prints %q", probed)
	}
	frame := output(ctx, t, "ffmpeg", "-loglevel", "error", "-ss", "50", "-i", url, "-frames:v", "1", "-f", "framemd5", "-")
	if want := output(ctx, t, "ffmpeg", "-loglevel", "error", "-ss", "50", "-i", filepath.Join(dir, "by the sea.mp4"), "-frames:v", "1", "-f", "framemd5", "-"); frame != want {
		t.Errorf("the frame after a seek is\n%swant\n%s", frame, want)
	}

	// Nobody reads any more, so at most the readahead is still downloaded.
	time.Sleep(2 * time.Second)
	if have := o.last("progress").Have; have > int64(len(film))/2 {
		t.Errorf("%d of %d bytes were downloaded for a few requests", have, len(film))
	}
	must(t, o.cmd.Process.Signal(interrupt))
	o.ends(ctx, 0)

	// With --open the command ends when the player does, and the player got the whole file.
	saved := filepath.Join(t.TempDir(), "saved")
	o = run(t, "10.3.150.1", offline("stream", link, "-d", t.TempDir(), "--peer", endpoint(seeder), "--http", "127.0.0.1:0", "--open", "curl -sSf -o "+saved)...)
	o.ends(ctx, 0)
	if got, err := os.ReadFile(saved); err != nil || !bytes.Equal(got, film) {
		t.Errorf("the player got %d bytes, %v", len(got), err)
	}
}
