package handover

import (
	"testing"

	"seedbed/cmd/seedbed/report"
)

// A player gets the playlist of several films, and else the film or the largest file.
func TestWhatAPlayerOpens(t *testing.T) {
	const root, list = "http://127.0.0.1:8008/", "http://127.0.0.1:9000/list"
	file := func(name string, size int64) report.Stream {
		return report.Stream{Path: name, Size: size, URL: root + name, Root: root}
	}
	byDaemon := func(s report.Stream) report.Stream { s.Root, s.ByDaemon = list, true; return s }
	a, b, text, large := file("a.mkv", 1), file("b.mkv", 2), file("readme.txt", 3), file("image.iso", 4)
	for _, c := range []struct {
		files []report.Stream
		want  string
	}{
		{[]report.Stream{a, b, text}, root + "playlist.m3u"},
		{[]report.Stream{byDaemon(a), byDaemon(b)}, list},
		{[]report.Stream{text, large, a}, a.URL},
		{[]report.Stream{text, large}, large.URL},
		{[]report.Stream{byDaemon(a)}, a.URL},
	} {
		if got := ToOpen(c.files); got != c.want {
			t.Errorf("of %d files: %s, want %s", len(c.files), got, c.want)
		}
	}
}
