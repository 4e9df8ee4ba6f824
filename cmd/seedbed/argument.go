package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"seedbed/cmd/seedbed/report"
	"seedbed/magnet"
	"seedbed/magnet/metainfo"
	"seedbed/node"
)

func isMagnet(arg string) bool {
	return len(arg) >= 7 && strings.EqualFold(arg[:7], "magnet:")
}

// isURL reports whether arg is an HTTP or HTTPS URL.
func isURL(arg string) bool {
	u, err := url.Parse(arg)
	return err == nil && (strings.EqualFold(u.Scheme, "http") || strings.EqualFold(u.Scheme, "https"))
}

// isLink reports whether arg is a magnet link or a bare infohash. An existing file of that
// name takes precedence.
func isLink(arg string) bool {
	if isMagnet(arg) {
		return true
	}
	if !magnet.IsBare(arg) {
		return false
	}
	_, err := os.Lstat(arg)
	return err != nil
}

// openArgument opens the torrent that arg names: a magnet link, a bare infohash, or the URL
// or path of a .torrent file.
func openArgument(ctx context.Context, arg string) (node.Spec, error) {
	spec, err := readArgument(ctx, arg)
	var lacks *metainfo.LayersError
	if errors.As(err, &lacks) {
		return specWithoutLayers(lacks)
	}
	return spec, err
}

// readArgument is like openArgument, but returns an error that wraps a metainfo.LayersError
// if a .torrent file lacks piece layers.
func readArgument(ctx context.Context, arg string) (node.Spec, error) {
	if isLink(arg) {
		return openLink(arg)
	}
	if !isURL(arg) {
		t, err := readTorrent(ctx, arg)
		return node.Spec{Torrent: t}, err
	}
	b, link, err := fetchTorrent(ctx, arg)
	if err != nil {
		return node.Spec{}, err
	}
	if link != "" {
		return openLink(link)
	}
	t, err := parseTorrent(arg, b)
	return node.Spec{Torrent: t}, err
}

// specWithoutLayers opens a .torrent file that lacks piece layers as its magnet link, so
// that the layers are requested from peers.
func specWithoutLayers(e *metainfo.LayersError) (node.Spec, error) {
	link, err := magnet.Parse(node.LinkOf(e.Torrent.Info))
	if err != nil {
		return node.Spec{}, err
	}
	link.WebSeeds = e.Torrent.WebSeeds
	link.Warnings = append(e.Torrent.Warnings, fmt.Errorf("%w; they will be requested from peers", e))
	return node.Spec{Link: link}, nil
}

func openLink(arg string) (node.Spec, error) {
	link, err := magnet.ParseBare(arg)
	if err != nil {
		return node.Spec{}, err
	}
	if err := link.Openable(); err != nil && !link.HasPublicKey {
		return node.Spec{}, fail(exitMagnet, "", err)
	}
	return node.Spec{Link: link}, nil
}

// maxTorrentFile limits a .torrent file, in bytes: 64 MiB of metadata, and space for its
// lists.
const maxTorrentFile = 80 << 20

func readTorrent(ctx context.Context, path string) (*metainfo.Torrent, error) {
	st, err := os.Stat(path)
	if err != nil {
		const hint = "give a magnet link, an infohash, or the path or URL of a .torrent file"
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fail(exitNotFound, hint, fmt.Errorf("%s does not exist", path))
		}
		return nil, fail(codeOf(err), hint, describePathError(path, err))
	}
	if st.IsDir() {
		return nil, fail(exitUsage, "to seed a folder, run seedbed seed "+path, fmt.Errorf("%s is a folder, not a .torrent file", path))
	}
	if st.Size() > maxTorrentFile {
		return nil, fail(exitTorrent, "", fmt.Errorf("%s is too large for a .torrent file (%s)", path, report.Size(st.Size())))
	}
	b, err := readAll(ctx, path)
	switch {
	case errors.Is(err, context.Canceled):
		return nil, fail(exitUnfinished, "", fmt.Errorf("stopped before %s could be read", path))
	case err != nil:
		return nil, fail(codeOf(err), "", describePathError(path, err))
	case len(b) > maxTorrentFile:
		return nil, fail(exitTorrent, "", fmt.Errorf("%s is too large for a .torrent file (over %s)", path, report.Size(maxTorrentFile)))
	}
	return parseTorrent(filepath.Base(path), b)
}

// readAll reads a file of at most maxTorrentFile bytes, or one byte more of a larger one. It
// returns when ctx ends, because reading a pipe without a writer never ends.
func readAll(ctx context.Context, path string) ([]byte, error) {
	type result struct {
		b   []byte
		err error
	}
	done := make(chan result, 1)
	go func() {
		f, err := os.Open(path)
		if err != nil {
			done <- result{nil, err}
			return
		}
		defer f.Close()
		b, err := io.ReadAll(io.LimitReader(f, maxTorrentFile+1))
		done <- result{b, err}
	}()
	select {
	case r := <-done:
		return r.b, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// parseTorrent parses a .torrent file; from is its path or URL, for errors.
func parseTorrent(from string, b []byte) (*metainfo.Torrent, error) {
	t, err := metainfo.ParseTorrent(b)
	if err != nil {
		switch {
		case len(b) == 0:
			return nil, fail(exitBencode, "fetch it again", fmt.Errorf("%s is not a .torrent file: it is empty", from))
		case b[0] != 'd':
			return nil, fail(exitBencode, "fetch it again", fmt.Errorf("%s is not a .torrent file: it is not bencoded", from))
		}
		hint := ""
		var lacks *metainfo.LayersError
		if errors.As(err, &lacks) {
			hint = "seedbed get --metadata-only writes one that has them, with the help of peers"
		}
		return nil, fail(exitTorrent, hint, fmt.Errorf("%s is not a usable .torrent file: %w", from, err))
	}
	return t, nil
}

// describePathError drops the name of the system call from err.
func describePathError(path string, err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return fmt.Errorf("%s: %w", path, pe.Err)
	}
	return err
}
