package transmission

import (
	"context"
	"encoding/base64"
	"strings"

	"seedbed/magnet"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/node/daemon"
	"seedbed/node/daemon/fetch"
)

// torrentAdd adds a torrent. If the session has it already, the answer is torrent_duplicate, which is
// a success.
func (r *request) torrentAdd() error {
	add, err := r.addRequest()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.ctx, answerWithin)
	defer cancel()
	t, added, err := r.Add(ctx, add)
	if err != nil {
		return err
	}
	name := "torrent_added"
	if !added {
		name = "torrent_duplicate"
	}
	r.w.key(name)
	r.objects([]*field{torrentFields["hash_string"], torrentFields["id"], torrentFields["name"]}, []*node.Torrent{t})
	return nil
}

// addRequest returns the request that the parameters describe.
func (r *request) addRequest() (a daemon.AddRequest, err error) {
	a.Dir, _ = r.text("download_dir")
	if a.Dir != "" && a.Dir[0] != '/' {
		return a, failf(pathNotAbsolute, "download directory path is not absolute")
	}
	a.Labels, _ = r.texts("labels")
	paused, said := r.boolean("paused")
	a.Paused = said && paused || !said && r.settings().AddPaused
	if a.Link, a.Torrent, err = r.source(); err != nil {
		return a, err
	}
	for _, set := range filePriorities {
		if files, _ := r.indices(set.param); len(files) > 0 {
			a.Priorities = a.Priorities.With(set.to, numbersOf(files))
		}
	}
	a.Order = r.order(a.Order)
	a.MaxPeers, _ = r.peerLimit()
	a.Select, err = r.selected(a.Torrent)
	return a, err
}

// source returns the link or the .torrent file that filename or metainfo names.
func (r *request) source() (link string, torrent []byte, err error) {
	if encoded, _ := r.text("metainfo"); encoded != "" {
		b, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			return "", nil, failf(unrecognizedInfo, "metainfo is not base64")
		}
		return "", b, nil
	}
	name, _ := r.text("filename")
	switch name = strings.TrimSpace(name); {
	case name == "":
		return "", nil, failf(invalidParams, "no filename or metainfo specified")
	case fetch.IsURL(name):
		cookies, _ := r.text("cookies")
		b, link, err := r.cfg.Fetch.Torrent(r.ctx, name, cookies)
		if err != nil {
			return "", nil, &rpcError{httpError, err.Error()}
		}
		return link, b, nil
	case name[0] == '/':
		b, err := r.ReadTorrent(r.ctx, name)
		return "", b, err
	case !magnet.IsBare(name) && !strings.HasPrefix(strings.ToLower(name), "magnet:"):
		return "", nil, &rpcError{code: unrecognizedInfo}
	}
	return name, nil, nil
}

// selected returns the numbers of the wanted files, from 1; nil means all.
func (r *request) selected(torrent []byte) ([]int, error) {
	if unwanted, _ := r.indices("files_unwanted"); len(unwanted) > 0 {
		if torrent == nil {
			return nil, failf(invalidParams, "files_unwanted needs a .torrent file: the files of a link are not known yet")
		}
		t, err := metainfo.ParseTorrent(torrent)
		if err != nil {
			return nil, failf(corruptTorrent, "%v", err)
		}
		isWanted := make([]bool, t.Info.Stored())
		for i := range isWanted {
			isWanted[i] = true
		}
		return r.deselect(isWanted, unwanted)
	}
	wanted, _ := r.indices("files_wanted")
	var numbers []int
	for _, i := range wanted {
		numbers = append(numbers, i+1)
	}
	return numbers, nil
}

func (r *request) deselect(isWanted []bool, unwanted []int) ([]int, error) {
	for _, i := range unwanted {
		if i < 0 || i >= len(isWanted) {
			return nil, &rpcError{code: fileOutOfRange}
		}
		isWanted[i] = false
	}
	wanted, _ := r.indices("files_wanted")
	for _, i := range wanted {
		if i < 0 || i >= len(isWanted) {
			return nil, &rpcError{code: fileOutOfRange}
		}
		isWanted[i] = true
	}
	return selection(isWanted), nil
}
