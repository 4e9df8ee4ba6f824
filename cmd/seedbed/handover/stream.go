package handover

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/report"
	"seedbed/node/api"
	"seedbed/node/stream"
	"seedbed/node/view"
)

// A Stream makes a daemon download a torrent and serve its files to players. The daemon continues
// after the command.
type Stream struct {
	Download
	File int // the number of the file to play; 0: all
	// Play, if not nil, runs a player with a URL. The command ends when it returns true.
	Play func(ctx context.Context, url string) (over bool)
}

// linkSeconds is how long the URLs are valid.
const linkSeconds = 24 * 60 * 60

// Run streams the torrent that arg names.
func (s *Stream) Run(ctx context.Context, arg string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	played := make(chan struct{})
	isPlaying := false
	s.Stay, s.startNow, s.takesIDs = true, true, true
	s.named = func(o *view.Torrent) error {
		files, err := s.files(ctx, o)
		if err != nil {
			return err
		}
		s.rep.Streaming(s.torrents[0], files)
		if s.Play != nil {
			isPlaying = true
			go func() {
				defer close(played)
				if s.Play(ctx, toOpen(files)) {
					cancel(errDone)
				}
			}()
		}
		return nil
	}
	err := s.Download.Run(ctx, []string{arg})
	cancel(nil)
	if isPlaying {
		<-played
	}
	return err
}

// files returns the files that can be played, with their URLs. It selects the file that the user has
// named if it is not.
func (s *Stream) files(ctx context.Context, o *view.Torrent) (out []report.Stream, err error) {
	files, err := s.Client.Files(ctx, o.InfoHash)
	if err != nil {
		return nil, err
	}
	if s.File > len(files) {
		return nil, exit.Fail(exit.Usage, "see seedbed files "+o.InfoHash[:8], fmt.Errorf("%s has no file with that number", o.Name))
	}
	if s.File > 0 && !files[s.File-1].Selected {
		selected := []int{s.File}
		for _, f := range files {
			if f.Selected {
				selected = append(selected, f.Number)
			}
		}
		slices.Sort(selected)
		if _, err := s.Client.Change(ctx, o.InfoHash, api.TorrentChange{Select: &selected}); err != nil {
			return nil, err
		}
	}
	l, err := s.Client.Link(ctx, o.InfoHash, s.File, linkSeconds)
	if err != nil {
		return nil, err
	}
	if l.URL == "" {
		return nil, exit.Fail(exit.Network, "start it with --http HOST:PORT", errors.New("players cannot reach the daemon, which serves only a unix socket"))
	}
	for _, f := range files {
		if f.Number == s.File {
			return []report.Stream{{Number: f.Number, Path: f.Path, Size: f.Size, URL: l.URL, Root: l.URL, ByDaemon: true}}, nil
		}
		if s.File == 0 && f.Selected {
			at := fmt.Sprintf("%s/%d/%s", strings.TrimSuffix(l.URL, "/playlist.m3u8"), f.Number, url.PathEscape(path.Base(f.Path)))
			out = append(out, report.Stream{Number: f.Number, Path: f.Path, Size: f.Size, URL: at, Root: l.URL, ByDaemon: true})
		}
	}
	if len(out) == 0 {
		return nil, exit.Fail(exit.Usage, "", fmt.Errorf("no file of %s is selected", o.Name))
	}
	return out, nil
}

// toOpen returns the URL to open: the playlist if several files are playable, the only playable file,
// or else the largest file.
func toOpen(files []report.Stream) string {
	var playable []report.Stream
	largest := files[0]
	for _, f := range files {
		if stream.IsPlayable(f.Path) {
			playable = append(playable, f)
		}
		if f.Size > largest.Size {
			largest = f
		}
	}
	switch len(playable) {
	case 0:
		return largest.URL
	case 1:
		return playable[0].URL
	}
	return files[0].Root
}
