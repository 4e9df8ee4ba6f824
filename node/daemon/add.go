package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"seedbed/internal/await"
	"seedbed/magnet"
	"seedbed/magnet/metainfo"
	"seedbed/node"
)

// AddRequest describes a torrent to add to the session. Exactly one of Link, Torrent and Inspection
// is set.
type AddRequest struct {
	Link       string // a magnet link, or a bare infohash
	Torrent    []byte // the content of a .torrent file
	Inspection int64  // the number of an inspection that has found the metadata

	Dir        string // "": that of the category, or of the daemon
	Name       string // to show; "": that of the torrent
	Labels     []string
	Category   string // created if it does not exist
	Paused     bool
	Select     []int // file numbers, from 1; nil: those of the link, or all
	All        bool  // all files even if the link selects some
	Peers      []string
	UpRate     int64 // bytes a second, like DownRate; 0: the limit of each torrent in the settings
	DownRate   int64
	Goals      node.Goals
	Priorities node.Priorities
	Order      node.Order
	MaxPeers   int
	Overwrite  bool // replace existing files that do not belong to the torrent
	Symlinks   bool // create the symbolic links of the torrent
	Seed       bool // the data is complete in Dir, and is only shared
	Objects    bool // the data is in the object store of the node, or without Seed is downloaded into it
}

// Add adds a torrent. If the session has it already, added is false, and the torrent is
// unchanged.
func (d *Daemon) Add(ctx context.Context, r AddRequest) (t *node.Torrent, added bool, err error) {
	spec, err := d.spec(&r)
	if err != nil {
		return nil, false, err
	}
	if t := d.node.Torrent(spec.InfoHash()); t != nil {
		return t, false, nil
	}
	if err := d.makeCategory(ctx, r.Category); err != nil {
		return nil, false, err
	}
	if spec.Objects && spec.Torrent != nil {
		d.addWebSeed(ctx, &spec)
	}
	t, err = await.Result(ctx, func() (*node.Torrent, error) { // adding writes the record, and the disk may hang
		if err := d.place(&spec, r.Dir); err != nil {
			return nil, err
		}
		t, err := d.node.Add(spec)
		if err == nil {
			d.numbers.of(t.InfoHash())
			d.queue.add(t)
			d.runHook("added", t.InfoHash(), nil)
		}
		return t, err
	})
	if errors.Is(err, node.ErrDuplicate) { // another client was faster
		if t := d.node.Torrent(spec.InfoHash()); t != nil {
			return t, false, nil
		}
	}
	if err != nil {
		return nil, false, err
	}
	return t, true, nil
}

// webSeedTime is how long adding a torrent may wait for the answer whether its objects are public.
const webSeedTime = 2 * time.Second

// addWebSeed adds the object store to the web seeds of a torrent if everybody can read its objects there. If the store is away, the torrent
// is added without.
func (d *Daemon) addWebSeed(ctx context.Context, spec *node.Spec) {
	ctx, cancel := context.WithTimeout(ctx, webSeedTime)
	defer cancel()
	own := *spec.Torrent // an inspection may have it too
	if url := d.webSeeds.Add(ctx, &own); url != "" {
		spec.Torrent, spec.Link = &own, &magnet.Link{WebSeeds: []string{url}}
	}
}

// place sets the folders of a new torrent. dir is the one that the client names, or "".
func (d *Daemon) place(spec *node.Spec, dir string) (err error) {
	if spec.Objects {
		return nil
	}
	if dir == "" {
		dir = d.categoryDir(spec.Category) // which was allowed once
	}
	if spec.Dir = d.Dir(); dir != "" {
		if spec.Dir, err = d.allowed().check(dir); err != nil {
			return err
		}
	}
	incomplete := d.Settings().IncompleteDir
	if incomplete == "" || incomplete == spec.Dir || spec.Seed {
		return nil
	}
	own := *spec
	own.Naming = nil
	if name := own.Name(); filepath.IsLocal(name) {
		if _, err := os.Lstat(filepath.Join(spec.Dir, name)); err == nil {
			return nil // the data, or a part of it, exists
		}
	}
	spec.Dir, spec.FinalDir = incomplete, spec.Dir
	return nil
}

// spec returns what the node adds for a request.
func (d *Daemon) spec(r *AddRequest) (node.Spec, error) {
	labels, err := cleanLabels(r.Labels)
	spec := node.Spec{Labels: labels, Category: r.Category, Paused: r.Paused, Select: r.Select, All: r.All, Peers: r.Peers,
		UpRate: r.UpRate, DownRate: r.DownRate, Goals: r.Goals, Overwrite: r.Overwrite, Symlinks: r.Symlinks, Seed: r.Seed, Objects: r.Objects, Upload: r.Objects && !r.Seed, Persistent: true,
		Priorities: r.Priorities, Order: r.Order, MaxPeers: r.MaxPeers}
	if r.Name != "" {
		spec.Naming = &node.Naming{Name: r.Name}
	}
	if err == nil {
		err = checkPeers(r.Peers)
	}
	if err == nil && r.Objects {
		err = d.checkObjects(r)
	}
	if err != nil {
		return spec, err
	}
	given := 0
	for _, is := range []bool{r.Link != "", r.Torrent != nil, r.Inspection != 0} {
		if is {
			given++
		}
	}
	if given != 1 {
		return spec, usage(errors.New("give either a link, a torrent or an inspection"), "")
	}
	if r.Inspection != 0 {
		return spec, d.specInspected(&spec, r.Inspection)
	}
	if r.Torrent != nil {
		t, err := metainfo.ParseTorrent(r.Torrent)
		var lacks *metainfo.LayersError
		switch {
		case errors.As(err, &lacks): // peers have the layers
			spec.Link, err = magnet.Parse(node.LinkOf(lacks.Torrent.Info))
			return spec, err
		case err != nil:
			return spec, usage(fmt.Errorf("the .torrent file is not usable: %w", err), "")
		}
		spec.Torrent = t
		return spec, nil
	}
	link, err := magnet.ParseBare(r.Link)
	if err != nil {
		return spec, usage(err, "")
	}
	if link.HasPublicKey {
		return spec, usage(errors.New("the link names a publication, which changes"), "follow it instead")
	}
	spec.Link = link
	return spec, link.Openable()
}

// specInspected sets what the spec of an inspected torrent adds. A v2 torrent of a file that lacks its
// piece layers is added by its link, because peers have the layers.
func (d *Daemon) specInspected(spec *node.Spec, number int64) (err error) {
	i, err := d.Inspected(number)
	if err != nil {
		return err
	}
	link := i.Link
	if i.Torrent.Info.LacksLayers() {
		if spec.Link = link; link == nil {
			spec.Link, err = magnet.Parse(node.LinkOf(i.Torrent.Info))
		}
		return err
	}
	spec.Torrent = i.Torrent
	if link == nil {
		return nil
	}
	spec.Peers = append(spec.Peers, link.Peers[:min(len(link.Peers), maxPeers-len(spec.Peers))]...)
	if spec.Select == nil && !spec.All && !spec.Objects && len(link.Select) > 0 {
		if spec.Select = selected(link, i.Torrent.Info); spec.Select == nil {
			return usage(fmt.Errorf("the link selects files that %s does not have", i.Torrent.Info.Name), "select files by their numbers, or all of them")
		}
	}
	return nil
}

// checkObjects returns an error for what a torrent in the object store cannot have.
func (d *Daemon) checkObjects(r *AddRequest) error {
	switch {
	case d.node.StoreLocation() == "":
		return node.ErrNoStore
	case r.Dir != "":
		return usage(errors.New("the files are to be in the object store and in a folder"), "name one of the two")
	case r.Select != nil || r.Overwrite || r.Symlinks || r.Order != (node.Order{}) || len(r.Priorities.Low)+len(r.Priorities.High)+len(r.Priorities.Maximum) > 0:
		return usage(errors.New("the files are to be objects, so none can be selected, preferred or replaced"), "")
	}
	return nil
}

// selected returns the numbers of the files that a link selects (BEP 53). The link counts padding,
// which has no number.
func selected(link *magnet.Link, info *metainfo.Info) (numbers []int) {
	for _, r := range link.Select {
		for i := int64(r.First); i <= int64(r.Last) && i < int64(len(info.Files)); i++ {
			if n := info.FileNumber(int(i)); !info.Files[i].Pad {
				numbers = append(numbers, n)
			}
		}
	}
	return numbers
}

// The node uses no more peers that a client names, and a host name with its port has no more bytes.
// The record keeps them all.
const (
	maxPeers = 256
	maxPeer  = 260
)

// checkPeers returns an error for peers that a client has named.
func checkPeers(peers []string) error {
	if len(peers) > maxPeers {
		return usage(fmt.Errorf("%d peers are named", len(peers)), fmt.Sprintf("at most %d are used", maxPeers))
	}
	for _, p := range peers {
		if len(p) > maxPeer {
			return usage(fmt.Errorf("the address of a peer has %d bytes", len(p)), "give HOST:PORT")
		}
	}
	return nil
}
