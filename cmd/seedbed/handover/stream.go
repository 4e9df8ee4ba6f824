package handover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"

	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/report"
	"seedbed/node/api"
	"seedbed/node/stream"
	"seedbed/node/tree"
	"seedbed/node/view"
)

// A Stream makes a daemon download a torrent and serve its files to players. The daemon continues
// after the command.
type Stream struct {
	Download
	File int // the number of the file to play; 0: all
	// Play, if not nil, runs a player with a URL. The command ends when it returns true.
	Play func(ctx context.Context, url string) (over bool)
	// Serve serves the files of a private publication until ctx ends, and returns those that can be
	// played, with their URLs. The command decrypts them.
	Serve func(ctx context.Context, files *tree.Tree) ([]report.Stream, error)
}

// linkSeconds is how long the URLs are valid.
const linkSeconds = 24 * 60 * 60

// Run streams the torrent that arg names.
func (s *Stream) Run(ctx context.Context, arg string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var playing sync.WaitGroup
	var failed error
	s.Stay, s.startNow, s.takesIDs, s.toPlay = true, true, true, true
	s.named = func(o *view.Torrent) error {
		t := s.torrents[0]
		if s.isPrivate(t.InfoHash()) {
			playing.Go(func() {
				isOver, err := s.playPrivate(ctx, t, o)
				if isOver || err != nil {
					failed = err
					cancel(errDone)
				}
			})
			return nil
		}
		files, err := s.files(ctx, o)
		if err != nil {
			return err
		}
		s.rep.Streaming(t, files)
		if s.Play != nil {
			playing.Go(func() {
				if s.Play(ctx, ToOpen(files)) {
					cancel(errDone)
				}
			})
		}
		return nil
	}
	err := s.Download.Run(ctx, []string{arg})
	cancel(nil)
	playing.Wait()
	return errors.Join(err, failed)
}

// playPrivate serves the files of a private publication until ctx ends, or until the player has ended.
func (s *Stream) playPrivate(ctx context.Context, t *torrent, o *view.Torrent) (isOver bool, err error) {
	tree, err := s.tree(ctx, o)
	if err != nil {
		if ctx.Err() != nil {
			return true, nil
		}
		return true, s.Target.Fail(err)
	}
	files, err := s.Serve(ctx, tree)
	if err != nil {
		return true, err
	}
	s.rep.Streaming(report.Named(t, tree.Name()), files)
	return s.Play != nil && s.Play(ctx, ToOpen(files)), nil
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

// ToOpen returns the URL for a player: the playlist if several files are playable, the only playable file, or else the
// largest file.
func ToOpen(files []report.Stream) string {
	var playable []report.Stream
	for _, f := range files {
		if stream.IsPlayable(f.Path) {
			playable = append(playable, f)
		}
	}
	switch {
	case len(playable) == 0:
		return slices.MaxFunc(files, func(a, b report.Stream) int { return cmp.Compare(a.Size, b.Size) }).URL
	case len(playable) == 1:
		return playable[0].URL
	case files[0].ByDaemon:
		return files[0].Root
	}
	return files[0].Root + "playlist.m3u"
}
