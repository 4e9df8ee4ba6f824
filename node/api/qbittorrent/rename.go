package qbittorrent

import (
	"context"
	"net/http"
	"path"
	"slices"
	"strings"

	"seedbed/node"
)

// rename changes the name that is shown.
func rename(c *call) error {
	t, err := c.one()
	if err != nil {
		return err
	}
	if err := c.require("name"); err != nil {
		return err
	}
	name := strings.NewReplacer("\r\n", " ", "\n", " ", "\r", " ").Replace(strings.TrimSpace(c.get("name")))
	if name == "" {
		return fail(http.StatusConflict, "Incorrect torrent name")
	}
	return asConflict(c.perform([]*node.Torrent{t}, func(ctx context.Context, t *node.Torrent) error {
		return t.Rename(ctx, node.Renaming{Name: name})
	}))
}

func renameFile(c *call) error   { return c.renamePath(false) }
func renameFolder(c *call) error { return c.renamePath(true) }

// renamePath renames a file or a folder, also to another folder. It answers with the errors of
// qBittorrent. Unlike qBittorrent it also answers with an error if another program has a file
// with the new name, if that is known in time.
func (c *call) renamePath(isFolder bool) error {
	t, err := c.one()
	if err != nil {
		return err
	}
	if err := c.require("oldPath", "newPath"); err != nil {
		return err
	}
	from, to := path.Clean(c.get("oldPath")), c.get("newPath")
	paths, err := onDisk(c, t.Paths)
	if err != nil {
		return err
	}
	isIn := func(name, folder string) bool { return strings.HasPrefix(name, folder+"/") }
	switch {
	case c.get("oldPath") == "":
		return fail(http.StatusConflict, "The old path is invalid: ''.")
	case to == "":
		return fail(http.StatusConflict, "The new path is invalid: ''.")
	case path.IsAbs(to):
		return fail(http.StatusConflict, "Absolute path isn't allowed: '%s'.", to)
	case !isFolder && !slices.Contains(paths, from):
		return fail(http.StatusConflict, "No such file: '%s'.", from)
	case !isFolder && from != path.Clean(to) && slices.Contains(paths, path.Clean(to)):
		return fail(http.StatusConflict, "The file already exists: '%s'.", to)
	case isFolder && !slices.ContainsFunc(paths, func(p string) bool { return isIn(p, from) }):
		return fail(http.StatusConflict, "No such folder: '%s'.", from)
	case isFolder && slices.ContainsFunc(paths, func(p string) bool { return isIn(p, path.Clean(to)) && !isIn(p, from) }):
		return fail(http.StatusConflict, "The folder already exists: '%s'.", to)
	}
	return asConflict(c.perform([]*node.Torrent{t}, func(ctx context.Context, t *node.Torrent) error {
		if err := t.Rename(ctx, node.Renaming{From: from, To: to}); err != nil {
			return err
		}
		return t.Settled(ctx)
	}))
}

// asConflict returns an error that is the user's as one with status 409.
func asConflict(err error) error {
	switch node.KindOf(err) {
	case node.FaultUsage, node.FaultExists, node.FaultBusy, node.FaultMissing:
		return fail(http.StatusConflict, "%v", err)
	}
	return err
}
