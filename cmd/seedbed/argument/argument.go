// Package argument opens what a user gives a command: a magnet link, a bare infohash, or the
// path or URL of a .torrent file. It also recognizes the domain names of publications, which
// package app resolves.
//
// Every error has the exit code and the advice that fit the argument; package exit defines
// them. A .torrent file is limited in size, and neither a pipe nor a slow server blocks a
// command after its context has ended.
package argument

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/report"
	"seedbed/internal/netx"
	"seedbed/internal/userfile"
	"seedbed/magnet"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/node/names"
)

// IsMagnet reports whether arg is a magnet link.
func IsMagnet(arg string) bool {
	return len(arg) >= 7 && strings.EqualFold(arg[:7], "magnet:")
}

// IsURL reports whether arg is an HTTP or HTTPS URL.
func IsURL(arg string) bool {
	u, err := url.Parse(arg)
	return err == nil && (strings.EqualFold(u.Scheme, "http") || strings.EqualFold(u.Scheme, "https"))
}

// IsLink reports whether arg is a magnet link or a bare infohash. An existing file of that
// name takes precedence.
func IsLink(arg string) bool {
	if IsMagnet(arg) {
		return true
	}
	if !magnet.IsBare(arg) {
		return false
	}
	_, err := os.Lstat(arg)
	return err != nil
}

// IsName reports whether arg is the domain name of a publication. A file of that name, which is not a
// folder, takes precedence: no folder is a torrent.
func IsName(arg string) bool {
	if !names.IsName(arg) || IsLink(arg) {
		return false
	}
	fi, err := os.Stat(arg)
	return err != nil || fi.IsDir()
}

// IsID reports whether arg can name a torrent of a daemon: the number in its list, or at least
// four digits of the beginning of the infohash. A link or an existing file of that name takes
// precedence.
func IsID(arg string) bool {
	isNumber := strings.Trim(arg, "0123456789") == ""
	isPrefix := strings.Trim(arg, "0123456789abcdefABCDEF") == "" && len(arg) >= 4
	if arg == "" || len(arg) > 64 || !isNumber && !isPrefix || IsLink(arg) {
		return false
	}
	_, err := os.Lstat(arg)
	return err != nil
}

// Open opens the torrent that arg names: a magnet link, a bare infohash, or the URL
// or path of a .torrent file. A URL is fetched through out.
func Open(ctx context.Context, out netx.Outbound, arg string) (node.Spec, error) {
	spec, err := Read(ctx, out, arg)
	var lacks *metainfo.LayersError
	if errors.As(err, &lacks) {
		return specWithoutLayers(lacks)
	}
	return spec, err
}

// Read is like Open, but returns an error that wraps a metainfo.LayersError
// if a .torrent file lacks piece layers.
func Read(ctx context.Context, out netx.Outbound, arg string) (node.Spec, error) {
	if IsLink(arg) {
		return openLink(arg)
	}
	if !IsURL(arg) {
		t, err := ReadTorrent(ctx, arg)
		return node.Spec{Torrent: t}, err
	}
	b, link, err := fetchTorrent(ctx, out, arg)
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
		return node.Spec{}, exit.Fail(exit.Magnet, "", err)
	}
	return node.Spec{Link: link}, nil
}

// maxTorrentFile limits a .torrent file, in bytes: 64 MiB of metadata, and space for its
// lists.
const maxTorrentFile = 80 << 20

// ReadTorrent reads the .torrent file at path.
func ReadTorrent(ctx context.Context, path string) (*metainfo.Torrent, error) {
	b, err := userfile.Read(ctx, path, userfile.AllowPipes, maxTorrentFile)
	if err != nil {
		return nil, unreadable(path, err)
	}
	return parseTorrent(filepath.Base(path), b)
}

// unreadable describes why the .torrent file at path could not be read.
func unreadable(path string, err error) error {
	var stopped *userfile.StoppedError
	var kind *userfile.KindError
	const hint = "give a magnet link, an infohash, or the path or URL of a .torrent file"
	switch {
	case errors.As(err, &stopped):
		return err
	case errors.Is(err, userfile.ErrTooLarge):
		return exit.Fail(exit.Torrent, "", fmt.Errorf("%s is too large for a .torrent file (over %s)", path, report.Size(maxTorrentFile)))
	case errors.As(err, &kind) && kind.Mode.IsDir():
		return exit.Fail(exit.Usage, "to seed a folder, run seedbed seed "+path, fmt.Errorf("%s is a folder, not a .torrent file", path))
	case magnet.IsMistyped(path):
		if _, err := magnet.Parse(path); err != nil {
			return err
		}
	case errors.Is(err, fs.ErrNotExist):
		return exit.Fail(exit.NotFound, hint, fmt.Errorf("%s does not exist", path))
	}
	return exit.Fail(exit.CodeOf(err), hint, exit.PathError(path, err))
}

// parseTorrent parses a .torrent file; from is its path or URL, for errors.
func parseTorrent(from string, b []byte) (*metainfo.Torrent, error) {
	t, err := metainfo.ParseTorrent(b)
	if err != nil {
		switch {
		case len(b) == 0:
			return nil, exit.Fail(exit.Bencode, "fetch it again", fmt.Errorf("%s is not a .torrent file: it is empty", from))
		case b[0] != 'd':
			return nil, exit.Fail(exit.Bencode, "fetch it again", fmt.Errorf("%s is not a .torrent file: it is not bencoded", from))
		}
		hint := ""
		var lacks *metainfo.LayersError
		if errors.As(err, &lacks) {
			hint = "seedbed get --metadata-only writes one that has them, with the help of peers"
		}
		return nil, exit.Fail(exit.Torrent, hint, fmt.Errorf("%s is not a usable .torrent file: %w", from, err))
	}
	return t, nil
}
